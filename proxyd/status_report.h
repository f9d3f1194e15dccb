// SPDX-License-Identifier: MIT
//
// StatusReport: what `proxyctl status` shows, as docs/CONTROL.md describes it. Filled in by the
// supervisor.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/posix/socket_address.h"
#include "proxyd/configuration.h"
#include "proxyd/statistics_area.h"

#include <sys/types.h>

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace proxyd {

struct StatusReport {
    struct WorkerCounts {
        uint64_t sessions = 0;  // at the moment
        uint64_t handed_over = 0;
        uint64_t rejected = 0;
        uint64_t closed = 0;
        uint64_t timed_out = 0;
    };
    struct Worker {
        size_t index = 0;
        pid_t pid = 0;
        uint64_t generation = 0;
        std::string_view state;
        Clock::duration uptime{};
        std::optional<WorkerCounts> counts;  // none: of a worker of an earlier program
    };
    struct Task {
        bool is_fine = false;
        Clock::time_point at{};
        std::vector<std::string> problems;
    };

    static WorkerCounts counts_from(const ProcessStatistics& statistics);

    struct Relay {
        pid_t pid = 0;  // 0: it is about to be started again
        uint64_t restarts = 0;
        std::string_view control;  // the path of its control socket, or "none"
        // Why it doesn't start, or hasn't taken over its part of the configuration.
        std::vector<std::string> problems;
    };

    Clock::duration uptime{};          // of the process
    Clock::duration program_uptime{};  // shorter than that after an upgrade
    uint64_t generation = 0;
    Clock::duration configuration_age{};
    const Configuration* configuration = nullptr;  // none: before the first one
    std::vector<SocketAddress> listeners;
    std::string_view user;  // of the workers
    int landlock = 0;       // landlock.h: landlock_version
    std::string_view log_level;
    const Task* last_reload = nullptr;  // none: there was none
    uint64_t restarts = 0;
    std::vector<Worker> workers;
    std::optional<Relay> relay;  // none: no route leads to a TCP server
};

nlohmann::json status_json(const StatusReport& status, Clock::time_point now);

}  // namespace proxyd
