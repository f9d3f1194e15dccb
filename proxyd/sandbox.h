// SPDX-License-Identifier: MIT
//
// Sandbox: what a worker may still do when the first client comes. Used by the worker, after
// privileges.h and after everything is open.
#pragma once

#include "base/posix/result.h"

#include <span>
#include <string>

namespace proxyd {

// From now on: no file can be opened, made or run, only directories can be listed; no TCP socket
// bound or connected; no signal sent to others (landlock(7), as far as the kernel knows it); and
// only the system calls that a worker needs (seccomp(2)): any other ends the process with SIGSYS.
//
// `listening_sockets` are shared with main and with the workers to come: they can be accepted at
// and waited for, and nothing else. Their numbers must never be given to anything else: when one is
// done with, standard input, which must be /dev/null, is put in its place (dup3(2)).
Result<void, std::string> enter_sandbox(std::span<const int> listening_sockets = {});

// What this kernel knows of Landlock: the version of its interface, 0 if it has none. From 4 on TCP
// is confined, from 6 on signals.
int landlock_version();

}  // namespace proxyd
