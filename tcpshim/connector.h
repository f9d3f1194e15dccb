// SPDX-License-Identifier: MIT
//
// Connector: one client's way to a backend. It asks the site's BackendGroup for a backend, has its
// name resolved, races the addresses (RFC 8305), and goes on with another backend when that fails,
// until one answers, none is left, or the site's backend_wait is over. It knows nothing of the
// client's socket and moves no byte.
//
// Used by Connection, which owns it. Callbacks come from the event loop or from within start() and
// next(); the owner may destroy the connector in them.
#pragma once

#include "base/posix/socket_address.h"
#include "base/posix/unique_fd.h"

#include <cstdint>
#include <string_view>

namespace proxyd::shim {

class Backend;       // backend.h: one backend of a site, its health and its counters
class BackendGroup;  // backend_group.h: all backends of a site, and who comes next

enum class ConnectFailure : uint8_t {
    Refused,      // ECONNREFUSED, a reset
    Unreachable,  // no route, no such socket
    TimedOut,     // connect_timeout
    NotResolved,  // no address: the name doesn't exist, or no resolver answers and none ever did
    ClosedEarly,  // connected, and closed before its first byte (told by the owner through next())
    Full,         // all backends that are up have connections_max connections
    NoneUp,       // all are down
    Local,        // no port, descriptor or memory here
};
// The word of the access log: "refused", "unreachable", "timed_out"...
std::string_view connect_failure_word(ConnectFailure failure);

}  // namespace proxyd::shim
