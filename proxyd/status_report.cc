// SPDX-License-Identifier: MIT
#include "proxyd/status_report.h"

#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace proxyd {
namespace {

using Json = nlohmann::json;

int64_t milliseconds(Clock::duration duration) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

uint64_t age(Clock::duration duration) {
    return static_cast<uint64_t>(std::max<int64_t>(milliseconds(duration), 0));
}

Json text_or_null(std::string_view text) {
    return text.empty() ? Json(nullptr) : Json(text);
}

// The listener's own site, by its port: addresses of one listener share it.
Json site_of(const Configuration& configuration, const SocketAddress& address) {
    for (const ListenerConfiguration& listener : configuration.listeners)
        if (std::ranges::find(listener.addresses, address) != listener.addresses.end())
            return text_or_null(listener.site);
    return nullptr;
}

Json worker_json(const StatusReport::Worker& worker) {
    Json out = {{"worker", worker.index},
                {"pid", worker.pid},
                {"generation", worker.generation},
                {"state", worker.state},
                {"uptime_ms", age(worker.uptime)}};
    const auto count = [&](const char* key, uint64_t StatusReport::WorkerCounts::*member) {
        out[key] = worker.counts ? Json((*worker.counts).*member) : Json(nullptr);
    };
    count("sessions", &StatusReport::WorkerCounts::sessions);
    count("handed_over", &StatusReport::WorkerCounts::handed_over);
    count("rejected", &StatusReport::WorkerCounts::rejected);
    count("closed", &StatusReport::WorkerCounts::closed);
    count("timed_out", &StatusReport::WorkerCounts::timed_out);
    return out;
}

}  // namespace

StatusReport::WorkerCounts StatusReport::counts_from(const ProcessStatistics& statistics) {
    StatisticsSnapshot snapshot;
    snapshot.add(statistics);
    WorkerCounts counts;
    for (const uint64_t in_hand : snapshot.in_hand)
        counts.sessions += in_hand;
    counts.handed_over = snapshot.sessions(Verdict::HandedOver);
    counts.rejected = snapshot.sessions(Verdict::Rejected);
    counts.closed = snapshot.sessions(Verdict::Closed);
    counts.timed_out = snapshot.sessions(Verdict::TimedOut);
    return counts;
}

Json status_json(const StatusReport& status, Clock::time_point now) {
    Json out = {{"version", PROXYD_VERSION},
                {"pid", getpid()},
                {"uptime_ms", age(status.uptime)},
                {"program_uptime_ms", age(status.program_uptime)},
                {"generation", status.generation},
                {"configuration_age_ms", age(status.configuration_age)},
                {"log_level", text_or_null(status.log_level)},
                {"user", text_or_null(status.user)},
                {"landlock", status.landlock},
                {"restarts", status.restarts},
                {"listeners", Json::array()},
                {"last_reload", nullptr},
                {"workers", Json::array()}};
    if (status.configuration != nullptr) {
        out["configuration"] = status.configuration->file;
        out["routes"] = status.configuration->routes.size();
        out["sites"] = text_or_null(status.configuration->sites);
        for (const SocketAddress& address : status.listeners) {
            SocketAddress::Text text;
            out["listeners"].push_back({{"address", address.format(text)},
                                        {"site", site_of(*status.configuration, address)}});
        }
    }
    if (status.last_reload != nullptr)
        out["last_reload"] = {{"ok", status.last_reload->is_fine},
                              {"age_ms", age(now - status.last_reload->at)},
                              {"problems", status.last_reload->problems}};
    for (const StatusReport::Worker& worker : status.workers)
        out["workers"].push_back(worker_json(worker));
    out["tcpshim"] = nullptr;
    if (status.relay)
        out["tcpshim"] = {{"pid", status.relay->pid},
                          {"restarts", status.relay->restarts},
                          {"control", status.relay->control},
                          {"problems", status.relay->problems}};
    return out;
}

}  // namespace proxyd
