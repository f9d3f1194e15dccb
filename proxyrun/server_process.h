// SPDX-License-Identifier: MIT
//
// ServerProcess: one run of the server, as a child of proxyrun --keep. Used by supervisor. It knows
// no policy: neither when to start nor what an end means.
#pragma once

#include "base/posix/result.h"

#include <signal.h>
#include <sys/types.h>

#include <string>
#include <vector>

namespace proxyd {

struct ServerCommand {
    std::string program;  // a path
    std::vector<std::string> words;

    // What execv(3) takes; valid as long as this is.
    std::vector<char*> arguments() const;
};

// Forks and executes; `signal_mask` is that of the new program. The error is execve(2)'s, or
// fork(2)'s.
Result<pid_t> start_server(const ServerCommand& command, const sigset_t& signal_mask);

// The process's children, also those that it inherited as a reaper of orphans. Nothing if it can't
// be known.
std::vector<pid_t> children_of(pid_t pid);
// Those, and theirs.
std::vector<pid_t> descendants_of(pid_t pid);

}  // namespace proxyd
