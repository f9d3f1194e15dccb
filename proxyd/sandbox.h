// SPDX-License-Identifier: MIT
//
// Sandbox: as whom a worker runs, and what it may still do when the first client comes: proxyd's
// policy for base/daemon/confinement. Used by main, and by the worker after privileges.h and after
// everything is open.
#pragma once

#include "base/daemon/confinement/privileges.h"
#include "base/posix/result.h"

#include <span>
#include <string>
#include <string_view>

namespace proxyd {

// The user of that name, "" stands for the default: "proxyd", or "nobody", or whoever we are. The
// error says what is wrong with the name.
Result<User, std::string> find_worker_user(std::string_view name);

// From now on: no file can be opened, made or run, only directories can be listed; no TCP socket
// bound or connected; no signal sent to others (landlock(7), as far as the kernel knows it); and
// only the system calls that a worker needs (seccomp(2)): any other ends the process with SIGSYS.
//
// `listening_sockets` are shared with main and with the workers to come: they can be accepted at
// and waited for, and nothing else (confinement/shared_descriptors.h).
Result<void, std::string> enter_sandbox(std::span<const int> listening_sockets = {});

}  // namespace proxyd
