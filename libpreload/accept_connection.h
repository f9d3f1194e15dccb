// SPDX-License-Identifier: MIT
//
// accept4(2) on a stand-in: takes the next handoff and makes it look accepted. Used by the wrappers
// of accept and accept4. Neither allocates nor locks; async-signal-safe.
#pragma once

#include "libpreload/stand_in.h"

#include <sys/socket.h>

namespace proxyd {

// `flags` are those of accept4, which the kernel has checked. Returns the descriptor and keeps
// errno, or -1 with errno as accept4 could have set it.
int accept_connection(const StandIn& stand_in, sockaddr* address, socklen_t* length, int flags);

}  // namespace proxyd
