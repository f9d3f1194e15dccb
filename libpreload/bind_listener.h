// SPDX-License-Identifier: MIT
//
// bind(2) of a TCP socket to a port that clients of proxyd use: the site socket takes its place.
// Used by the wrapper of bind. All work with the file system is done here, so that a server may
// drop its privileges or change its root directory before it listens or accepts.
#pragma once

#include <sys/socket.h>

#include <optional>

namespace proxyd {

// 0 or -1 with errno as bind could have set it; nothing if this bind is none of our business.
std::optional<int> bind_listener(int fd, const sockaddr* address, socklen_t length);

}  // namespace proxyd
