// SPDX-License-Identifier: MIT
//
// Why a client has no backend. Used by all that connects, and by the access log.
#pragma once

#include "base/posix/result.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace proxyd::shim {

enum class ConnectFailure : uint8_t {
    Refused,      // ECONNREFUSED, a reset
    Unreachable,  // no route, no such socket
    TimedOut,     // connect_timeout
    NotResolved,  // no address: the name doesn't exist, or no resolver answers and none ever did
    ClosedEarly,  // connected, and closed before its first byte (told by the owner through next())
    Full,         // all backends that are up have connections_max connections
    NoneUp,       // all are down
    Local,        // no port, descriptor or memory here
    Loop,         // the client is a connection of our own: its backend's address leads back to us
};
inline constexpr size_t ConnectFailureCount = 9;

// The word of the access log: "refused", "unreachable", "timed_out"...
std::string_view connect_failure_word(ConnectFailure failure);

// Of connect(2) and what comes before it.
ConnectFailure connect_failure_of(Errno error);

// Of several addresses that failed, the cause that says most: what a host answered before that none
// did, and that before what this machine couldn't do.
ConnectFailure more_telling(ConnectFailure a, ConnectFailure b);

}  // namespace proxyd::shim
