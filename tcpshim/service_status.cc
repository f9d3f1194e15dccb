// SPDX-License-Identifier: MIT
#include "tcpshim/service_status.h"

#include "base/daemon/confinement/landlock.h"

#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace proxyd::shim {
namespace {

using Json = nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::system_clock;

int64_t age_ms(system_clock::time_point since) {
    return std::chrono::duration_cast<milliseconds>(system_clock::now() - since).count();
}

int64_t age_ms(uint64_t since_ms) {
    return std::max<int64_t>(
        age_ms(system_clock::time_point(milliseconds(static_cast<int64_t>(since_ms)))), 0);
}

Json failures_json(const std::array<uint64_t, ConnectFailureCount>& counts) {
    Json out = Json::object();
    for (size_t i = 0; i < counts.size(); i++)
        if (counts[i] > 0)
            out[std::string(connect_failure_word(static_cast<ConnectFailure>(i)))] = counts[i];
    return out;
}

Json site_json(const SiteConfiguration& configuration, const SiteTotals& totals) {
    const auto backends_up = std::ranges::count_if(totals.backends, [](const auto& each) {
        return each.second.is_current && each.second.state == BackendState::Up;
    });
    const auto backends = std::ranges::count_if(
        totals.backends, [](const auto& each) { return each.second.is_current; });
    Json endings = Json::object();
    for (size_t i = 0; i < EndingCount; i++)
        if (totals.endings[i] > 0)
            endings[std::string(ending_word(static_cast<Ending>(i)))] = totals.endings[i];
    return {{"site", configuration.name},
            {"directory", configuration.directory},
            {"ports", configuration.ports},
            {"backends", backends},
            {"backends_up", backends_up},
            {"connections", totals.accepted},
            {"active", totals.active},
            {"retried", totals.retried},
            {"to_backend", totals.bytes_to_backend},
            {"to_client", totals.bytes_to_client},
            {"endings", std::move(endings)},
            {"no_backend", failures_json(totals.unserved)}};
}

bool is_shown(const BackendTotals& backend) {
    return backend.is_current || backend.active > 0;
}

Json backend_json(const std::string& site, const std::string& text, const BackendTotals& backend) {
    Json out = {
        {"site", site},
        {"backend", text},
        {"state", backend.is_current ? std::string(backend_state_word(backend.state)) : "gone"},
        {"since_ms", nullptr},
        {"cause", nullptr},
        {"active", backend.active},
        {"connections", backend.connections},
        {"answered", backend.answered},
        {"failures", backend.failures()},
        {"failed", failures_json(backend.failed)},
        {"checks_good", backend.checks_good},
        {"checks_bad", backend.checks_bad},
        {"to_backend", backend.bytes_to_backend},
        {"to_client", backend.bytes_to_client}};
    if (backend.is_current) out["since_ms"] = age_ms(backend.since_ms);
    if (!backend.cause.empty()) out["cause"] = backend.cause;
    return out;
}

}  // namespace

Json status_json(const ServiceStatus& status, const StatisticsTotals& totals) {
    Json out = {{"program", "tcpshim"},
                {"version", PROXYD_VERSION},
                {"pid", getpid()},
                {"uptime_ms", age_ms(status.started_at)},
                {"configuration", status.configuration->file},
                {"configuration_age_ms", age_ms(status.configured_at)},
                {"generation", status.generation},
                {"user", status.user},
                {"landlock", landlock_version()},
                {"log_level", log_level_word(log_level())},
                {"restarts", status.restarts},
                {"reloads", status.reloads},
                {"reloads_failed", status.failed_reloads},
                {"access_lines_lost", totals.access_lines_lost},
                {"sites", Json::array()},
                {"workers", Json::array()}};
    for (const SiteConfiguration& site : status.configuration->sites) {
        const auto found = totals.sites.find(site.name);
        out["sites"].push_back(
            site_json(site, found == totals.sites.end() ? SiteTotals{} : found->second));
    }
    for (const ServiceStatus::Worker& worker : status.workers)
        out["workers"].push_back(
            {{"pid", worker.pid},
             {"state", worker_state_word(worker.state)},
             {"generation", worker.generation},
             {"uptime_ms", std::chrono::duration_cast<milliseconds>(worker.uptime).count()},
             {"active", worker.active}});
    return out;
}

std::vector<Json> backends_json(const StatisticsTotals& totals, std::string_view match) {
    std::vector<Json> out;
    for (const auto& [name, site] : totals.sites)
        for (const auto& [text, backend] : site.backends)
            if (is_shown(backend) &&
                (name.find(match) != std::string::npos || text.find(match) != std::string::npos))
                out.push_back(backend_json(name, text, backend));
    return out;
}

}  // namespace proxyd::shim
