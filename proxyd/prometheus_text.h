// SPDX-License-Identifier: MIT
//
// What Prometheus is told: the statistics of all processes and the state of the service, in the
// text exposition format 0.0.4. Used by metrics_http and by the control socket. It asks nobody: who
// calls it has filled in ServiceState. Each metric is described in docs/METRICS.md.
#pragma once

#include "base/daemon/metrics/metrics_text.h"
#include "proxyd/statistics_area.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace proxyd {

struct Tries {
    uint64_t successes = 0;
    uint64_t failures = 0;
};

// Of main and its workers.
struct ServiceState {
    using Time = std::chrono::system_clock::time_point;

    std::string_view version;
    Time started_at;
    size_t workers_serving = 0;
    size_t workers_draining = 0;   // of old generations
    uint64_t worker_restarts = 0;  // after a worker's unexpected end
    Tries reloads;                 // the start is none
    Tries upgrades;
    bool is_last_reload_successful = true;
    Time configured_at;                   // when the configuration in force was put in force
    std::vector<ProcessFigures> workers;  // those that serve, in their order
};

std::string prometheus_text(const StatisticsSnapshot& statistics, const ServiceState& service);

}  // namespace proxyd
