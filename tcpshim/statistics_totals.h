// SPDX-License-Identifier: MIT
//
// StatisticsTotals: what all workers have counted, those that have ended included, by site and by
// backend: so counters never go down. Kept by main.
#pragma once

#include "tcpshim/statistics.h"

#include <array>
#include <cstdint>
#include <map>
#include <string>

namespace proxyd::shim {

struct BackendTotals {
    uint64_t connections = 0, active = 0, chosen = 0, answered = 0, checks_good = 0, checks_bad = 0;
    std::array<uint64_t, ConnectFailureCount> failed{};
    uint64_t bytes_to_backend = 0, bytes_to_client = 0;
    // Of the worker that serves; none: it isn't among the configuration's any more.
    bool is_current = false;
    BackendState state = BackendState::Up;
    uint64_t since_ms = 0;
    std::string cause;

    void add_counters_of(const BackendStatistics& counted);
    uint64_t failures() const;
};

struct SiteTotals {
    uint64_t accepted = 0, active = 0, retried = 0;
    std::array<uint64_t, EndingCount> endings{};
    std::array<uint64_t, ConnectFailureCount> unserved{};
    uint64_t bytes_to_backend = 0, bytes_to_client = 0;
    std::array<Histogram, TimingCount> timings{};
    std::map<std::string, BackendTotals> backends;

    void add_counters_of(const SiteStatistics& counted);
};

struct StatisticsTotals {
    uint64_t access_lines_lost = 0;
    std::map<std::string, SiteTotals> sites;  // by name

    // All that a worker with that configuration has counted; of one that hasn't ended also what is
    // going on, and of the one that serves the states of backends.
    enum class Of : uint8_t { Ended, Draining, Serving };
    void add(const Configuration& configuration, const WorkerStatistics& worker, Of which);
};

}  // namespace proxyd::shim
