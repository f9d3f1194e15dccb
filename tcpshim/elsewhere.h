// SPDX-License-Identifier: MIT
//
// Elsewhere: the connections that workers before this one still have. They count for the limits of
// this one, so that a reload makes no room that there isn't. It reads the memory in which those
// workers count; main clears that of workers that have ended. Made by main before it forks a
// worker; used there by worker and backend_group.
#pragma once

#include "tcpshim/shared_sum.h"
#include "tcpshim/statistics.h"

#include <string_view>
#include <utility>
#include <vector>

namespace proxyd::shim {

class Elsewhere {
  public:
    struct Worker {
        const Configuration* configuration;
        const WorkerStatistics* statistics;
    };

    Elsewhere() = default;
    // Both of each outlive it.
    explicit Elsewhere(std::vector<Worker> workers) : workers_(std::move(workers)) {}

    bool empty() const { return workers_.empty(); }
    SharedSum connections() const;
    SharedSum connections_of_site(std::string_view directory) const;
    // As far as it has been counted by now.
    SharedSum connections_of_backend(std::string_view directory, std::string_view text) const;

  private:
    std::vector<Worker> workers_;
};

}  // namespace proxyd::shim
