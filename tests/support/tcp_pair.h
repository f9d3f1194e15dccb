// SPDX-License-Identifier: MIT
//
// A TCP connection over loopback, both ends of it. Used by tests of what carries connections.
#pragma once

#include "base/posix/socket_address.h"
#include "base/posix/unique_fd.h"

namespace proxyd::test {

struct TcpPair {
    UniqueFd client;
    UniqueFd accepted;  // what a server would have
};

// A listener on a free port of 127.0.0.1 or ::1.
UniqueFd tcp_listener(sa_family_t family = AF_INET);
TcpPair tcp_pair(sa_family_t family = AF_INET);

}  // namespace proxyd::test
