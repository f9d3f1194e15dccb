// SPDX-License-Identifier: MIT
//
// descriptor_room: how many sessions the limit of open files (RLIMIT_NOFILE) leaves room for. Used
// by worker, which keeps to it, and by supervisor and --check-config, which tell when it is less
// than the configuration has. It doesn't raise the limit: main does.
#pragma once

#include "proxyd/configuration.h"

#include <cstddef>
#include <string>
#include <vector>

namespace proxyd {

// As it is now, of each process.
size_t descriptor_limit();

// Those of one worker.
size_t affordable_sessions(size_t descriptor_limit);

// What one of the workers has of a limit for all of them together.
size_t share_of_worker(size_t limit, size_t workers);

// One if there is no room for `sessions_max`.
std::vector<std::string> warnings_of_sessions(const Configuration& configuration,
                                              size_t descriptor_limit);

}  // namespace proxyd
