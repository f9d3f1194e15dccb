// SPDX-License-Identifier: MIT
//
// service_status.h's text for Prometheus, in the exposition format 0.0.4.
#include "base/daemon/metrics/metrics_text.h"
#include "tcpshim/service_status.h"

namespace proxyd::shim {
namespace {

double since_1970(std::chrono::system_clock::time_point time) {
    return std::chrono::duration<double>(time.time_since_epoch()).count();
}

void add_service(MetricsText& text, const ServiceStatus& status, const StatisticsTotals& totals) {
    text.begin("tcpshim_info", "gauge", "1, with the version as a label.");
    text.sample({{"version", PROXYD_VERSION}}, 1);
    text.single("tcpshim_start_time_seconds", "gauge", "When tcpshim was started, since 1970.",
                since_1970(status.started_at));
    text.single("tcpshim_configuration_time_seconds", "gauge",
                "When the configuration in force was put in force, since 1970.",
                since_1970(status.configured_at));
    text.single("tcpshim_worker_restarts_total", "counter",
                "Workers that were started because one had ended unexpectedly.", status.restarts);
    text.begin("tcpshim_reloads_total", "counter", "Reloads, by how they went.");
    text.sample({{"result", "success"}}, status.reloads);
    text.sample({{"result", "failure"}}, status.failed_reloads);
    text.single("tcpshim_access_lines_lost_total", "counter",
                "Access lines that could not be written.", totals.access_lines_lost);
}

template <typename Value>
void add_of_sites(MetricsText& text, const StatisticsTotals& totals, std::string_view name,
                  std::string_view type, std::string_view help, Value&& value) {
    text.begin(name, type, help);
    for (const auto& [site, counted] : totals.sites)
        text.sample({{"site", site}}, value(counted));
}

void add_endings(MetricsText& text, const StatisticsTotals& totals) {
    text.begin("tcpshim_ended_connections_total", "counter",
               "Connections that have ended, by how: the ending of the access log.");
    for (const auto& [site, counted] : totals.sites)
        for (size_t i = 0; i < EndingCount; i++)
            text.sample({{"site", site}, {"ending", ending_word(static_cast<Ending>(i))}},
                        counted.endings[i]);
    text.begin("tcpshim_unserved_connections_total", "counter",
               "Clients that got no backend, by the cause of the access log.");
    for (const auto& [site, counted] : totals.sites)
        for (size_t i = 0; i < ConnectFailureCount; i++)
            text.sample(
                {{"site", site}, {"cause", connect_failure_word(static_cast<ConnectFailure>(i))}},
                counted.unserved[i]);
}

void add_bytes(MetricsText& text, const StatisticsTotals& totals) {
    text.begin("tcpshim_relayed_bytes_total", "counter",
               "Bytes of connections that have ended, by where they went.");
    for (const auto& [site, counted] : totals.sites) {
        text.sample({{"site", site}, {"to", "backend"}}, counted.bytes_to_backend);
        text.sample({{"site", site}, {"to", "client"}}, counted.bytes_to_client);
    }
}

void add_timings(MetricsText& text, const StatisticsTotals& totals) {
    struct Family {
        std::string_view name, help;
    };
    constexpr std::array<Family, TimingCount> Families = {{
        {"tcpshim_connect_seconds", "From the handoff to the connection with a backend."},
        {"tcpshim_first_byte_seconds", "From the handoff to the backend's first byte."},
        {"tcpshim_connection_seconds", "From the handoff to the connection's end."},
    }};
    for (size_t i = 0; i < TimingCount; i++) {
        text.begin(Families[i].name, "histogram", Families[i].help);
        for (const auto& [site, counted] : totals.sites)
            text.histogram({{"site", site}}, counted.timings[i]);
    }
}

template <typename Value>
void add_of_backends(MetricsText& text, const StatisticsTotals& totals, std::string_view name,
                     std::string_view type, std::string_view help, Value&& value) {
    text.begin(name, type, help);
    for (const auto& [site, counted] : totals.sites)
        for (const auto& [backend, figures] : counted.backends)
            text.sample({{"site", site}, {"backend", backend}}, value(figures));
}

void add_backends(MetricsText& text, const StatisticsTotals& totals) {
    text.begin("tcpshim_backend_up", "gauge", "Whether a backend is up; those in force alone.");
    for (const auto& [site, counted] : totals.sites)
        for (const auto& [backend, figures] : counted.backends)
            if (figures.is_current)
                text.sample({{"site", site}, {"backend", backend}},
                            figures.state == BackendState::Up ? 1 : 0);
    add_of_backends(text, totals, "tcpshim_backend_connections", "gauge",
                    "Connections at the moment.", [](const auto& each) { return each.active; });
    add_of_backends(text, totals, "tcpshim_backend_connections_total", "counter",
                    "Connections that have ended.",
                    [](const auto& each) { return each.connections; });
    add_of_backends(text, totals, "tcpshim_backend_answered_total", "counter",
                    "Clients that got a byte from it.",
                    [](const auto& each) { return each.answered; });
    text.begin("tcpshim_backend_failures_total", "counter",
               "Clients that it failed, who may have got another one, by cause.");
    for (const auto& [site, counted] : totals.sites)
        for (const auto& [backend, figures] : counted.backends)
            for (size_t i = 0; i < ConnectFailureCount; i++)
                text.sample({{"site", site},
                             {"backend", backend},
                             {"cause", connect_failure_word(static_cast<ConnectFailure>(i))}},
                            figures.failed[i]);
    text.begin("tcpshim_backend_checks_total", "counter", "Active checks, by what they found.");
    for (const auto& [site, counted] : totals.sites)
        for (const auto& [backend, figures] : counted.backends) {
            text.sample({{"site", site}, {"backend", backend}, {"result", "good"}},
                        figures.checks_good);
            text.sample({{"site", site}, {"backend", backend}, {"result", "bad"}},
                        figures.checks_bad);
        }
}

}  // namespace

std::string prometheus_text(const ServiceStatus& status, const StatisticsTotals& totals) {
    MetricsText text;
    add_service(text, status, totals);
    add_of_sites(text, totals, "tcpshim_accepted_connections_total", "counter",
                 "Clients that were taken from proxyd.",
                 [](const auto& site) { return site.accepted; });
    add_of_sites(text, totals, "tcpshim_connections", "gauge", "Connections at the moment.",
                 [](const auto& site) { return site.active; });
    add_of_sites(text, totals, "tcpshim_retries_total", "counter",
                 "Backends that were tried after another one had failed.",
                 [](const auto& site) { return site.retried; });
    add_endings(text, totals);
    add_bytes(text, totals);
    add_timings(text, totals);
    add_backends(text, totals);
    return text.take();
}

}  // namespace proxyd::shim
