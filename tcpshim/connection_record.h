// SPDX-License-Identifier: MIT
//
// ConnectionRecord: what is to be said of a connection when it has ended: a line of the access log,
// and counters. Made by Connection, given to whoever follows the worker's connections.
#pragma once

#include "base/posix/socket_address.h"
#include "tcpshim/connector.h"

#include <cstdint>
#include <string_view>

namespace proxyd::shim {

// Who or what ended it. A side that "closed" has ended its half first, in order; one that was
// "reset" or "lost" (no answer any more: ETIMEDOUT and the like) is gone.
enum class Ending : uint8_t {
    ClientClosed,
    BackendClosed,
    ClientReset,
    BackendReset,
    ClientLost,
    BackendLost,
    IdleTimeout,
    HalfClosedTimeout,
    NoBackend,     // ConnectionRecord::failure says why
    DrainTimeout,  // tcpshim stops, or was reloaded, and could wait no longer
    Local,         // no memory or descriptor here
    WorkerDied,    // no record tells of it: main counts those whom a dead worker had
};
inline constexpr size_t EndingCount = 12;

// The word of the access log: "client_closed", "backend_closed"...
std::string_view ending_word(Ending ending);

struct ConnectionRecord {
    std::string_view site;  // all views live as long as the call that gives the record
    uint16_t port = 0;      // of the site socket
    SocketAddress client, destination;
    std::string_view name, id;      // "" if the payload has none
    std::string_view backend;       // tried last, as the configuration has it; "" if none was
    SocketAddress backend_address;  // none: never connected, or a Unix stream
    uint32_t attempts = 0;          // backends tried
    std::string_view failed;        // those that failed, and how; "" if none has
    uint64_t bytes_to_backend = 0;  // the client's own: without a PROXY protocol header
    uint64_t bytes_to_client = 0;   // the backend's own: without what a rejected client is told
    // Since the handoff was taken; -1: never.
    int64_t connect_us = -1, first_to_backend_us = -1, first_to_client_us = -1, total_us = -1;
    Ending ending = Ending::Local;
    ConnectFailure failure = ConnectFailure::Local;  // with NoBackend alone
};

}  // namespace proxyd::shim
