// SPDX-License-Identifier: MIT
//
// What tcpshim tells of itself: ServiceStatus for `proxyctl status`, the totals for `proxyctl
// backends` as JSON, and both as Prometheus text. Filled in by the supervisor; docs/TCPSHIM.md
// describes the fields and the metrics.
#pragma once

#include "tcpshim/statistics_totals.h"
#include "tcpshim/worker_process.h"

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace proxyd::shim {

struct ServiceStatus {
    struct Worker {
        pid_t pid = 0;
        WorkerProcess::State state = WorkerProcess::State::Starting;
        uint64_t generation = 0;
        Clock::duration uptime{};
        uint64_t active = 0;  // connections
    };

    const Configuration* configuration = nullptr;
    std::string user;
    std::chrono::system_clock::time_point started_at, configured_at;
    uint64_t generation = 0, restarts = 0, reloads = 0, failed_reloads = 0;
    std::vector<Worker> workers;
};

nlohmann::json status_json(const ServiceStatus& status, const StatisticsTotals& totals);

// One object for each backend of a site, by site; those that are gone only as long as they have
// connections. With `match` those with that text in the site's or the backend's name.
std::vector<nlohmann::json> backends_json(const StatisticsTotals& totals, std::string_view match);

std::string prometheus_text(const ServiceStatus& status, const StatisticsTotals& totals);

}  // namespace proxyd::shim
