// SPDX-License-Identifier: MIT
//
// accept(2) and accept4(2), whole: the real call, and for a stand-in the next handoff, made to look
// accepted. Used by those two wrappers. Neither allocates nor locks; async-signal-safe.
#pragma once

#include <sys/socket.h>

namespace proxyd {

enum class AcceptCall { Accept, Accept4 };

// `flags` are those of accept4; accept has none.
int accept_connection(AcceptCall call, int fd, sockaddr* address, socklen_t* length, int flags);

}  // namespace proxyd
