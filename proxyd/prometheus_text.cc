// SPDX-License-Identifier: MIT
#include "proxyd/prometheus_text.h"

namespace proxyd {
namespace {

double seconds_since_1970(ServiceState::Time time) {
    return std::chrono::duration<double>(time.time_since_epoch()).count();
}

void add_sessions(MetricsText& text, const StatisticsSnapshot& statistics) {
    text.single("proxyd_accepted_connections_total", "counter", "Connections accepted.",
                statistics.accepted);
    text.begin("proxyd_sessions_total", "counter",
               "Sessions that have ended, by the verdict and reason of the access log.");
    for (const auto& outcome : statistics.outcomes)
        text.sample({{"verdict", verdict_word(outcome.verdict)}, {"reason", outcome.reason}},
                    outcome.count);
    text.begin("proxyd_sessions", "gauge", "Sessions in hand, by what they are waiting for.");
    for (size_t i = 0; i < SessionStateCount; i++)
        text.sample({{"state", session_state_word(static_cast<SessionState>(i))}},
                    statistics.in_hand[i]);
    text.begin("proxyd_accept_pauses_total", "counter",
               "How often accepting paused at a listener, by cause.");
    for (size_t i = 0; i < AcceptPauseCount; i++)
        text.sample({{"cause", accept_pause_word(static_cast<AcceptPause>(i))}},
                    statistics.accept_pauses[i]);
}

void add_timings(MetricsText& text, const StatisticsSnapshot& statistics) {
    const auto& timings = statistics.timings;
    text.histogram("proxyd_hello_seconds", "From accept to the complete hello.",
                   timings[static_cast<size_t>(Timing::Hello)]);
    text.histogram("proxyd_handoff_seconds",
                   "From the complete hello to the handoff, of sessions that were handed over.",
                   timings[static_cast<size_t>(Timing::Handoff)]);
    text.histogram("proxyd_site_wait_seconds",
                   "How long sessions waited for a site, of those that had to, however it ended.",
                   timings[static_cast<size_t>(Timing::SiteWait)]);
}

void add_logs(MetricsText& text, const StatisticsSnapshot& statistics) {
    text.single("proxyd_access_log_lines_lost_total", "counter",
                "Lines of the access log that could not be written.", statistics.access_lines_lost);
    text.begin("proxyd_log_lines_total", "counter", "Lines of the error log, by level.");
    for (size_t i = 0; i < LogLevelCount; i++)
        text.sample({{"level", log_level_word(static_cast<LogLevel>(i))}}, statistics.log_lines[i]);
}

void add_tries(MetricsText& text, std::string_view name, std::string_view help,
               const Tries& tries) {
    text.begin(name, "counter", help);
    text.sample({{"result", "success"}}, tries.successes);
    text.sample({{"result", "failure"}}, tries.failures);
}

// A figure of each worker that has it; nothing at all if none has.
template <typename Number>
void add_figure(MetricsText& text, const ServiceState& service, std::string_view name,
                std::string_view type, std::string_view help,
                std::optional<Number> ProcessFigures::*figure) {
    text.begin(name, type, help);
    for (size_t i = 0; i < service.workers.size(); i++)
        if (const auto& value = service.workers[i].*figure)
            text.sample({{"worker", std::to_string(i)}}, *value);
}

void add_service(MetricsText& text, const ServiceState& service) {
    text.begin("proxyd_workers", "gauge", "Worker processes.");
    text.sample({{"state", "serving"}}, service.workers_serving);
    text.sample({{"state", "draining"}}, service.workers_draining);
    text.single("proxyd_worker_restarts_total", "counter",
                "Workers that were started in place of one that had ended unexpectedly.",
                service.worker_restarts);
    add_figure(text, service, "proxyd_worker_open_fds", "gauge", "Open descriptors of a worker.",
               &ProcessFigures::open_descriptors);
    add_figure(text, service, "proxyd_worker_resident_memory_bytes", "gauge",
               "Resident memory of a worker.", &ProcessFigures::resident_bytes);
    add_figure(text, service, "proxyd_worker_cpu_seconds_total", "counter",
               "User and system time of a worker.", &ProcessFigures::cpu_seconds);
    add_tries(text, "proxyd_reloads_total", "Reloads of the configuration, by result.",
              service.reloads);
    add_tries(text, "proxyd_upgrades_total", "Upgrades to another binary, by result.",
              service.upgrades);
    text.single("proxyd_config_last_reload_successful", "gauge",
                "1 if the last reload of the configuration succeeded, or there was none.",
                service.is_last_reload_successful ? 1 : 0);
    text.single("proxyd_config_last_reload_success_timestamp_seconds", "gauge",
                "When the configuration in force was read, in seconds since 1970.",
                seconds_since_1970(service.configured_at));
    text.begin("proxyd_build_info", "gauge", "Always 1; the version is in the label.");
    text.sample({{"version", service.version}}, 1);
    text.single("process_start_time_seconds", "gauge",
                "When the main process was started, in seconds since 1970.",
                seconds_since_1970(service.started_at));
}

}  // namespace

std::string prometheus_text(const StatisticsSnapshot& statistics, const ServiceState& service) {
    MetricsText text;
    add_sessions(text, statistics);
    add_timings(text, statistics);
    add_logs(text, statistics);
    add_service(text, service);
    return text.take();
}

}  // namespace proxyd
