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

#include "base/daemon/event_loop.h"
#include "base/posix/socket_address.h"
#include "base/posix/unique_fd.h"
#include "tcpshim/backend_group.h"

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
};
// The word of the access log: "refused", "unreachable", "timed_out"...
std::string_view connect_failure_word(ConnectFailure failure);

// What is known of a client; the views live as long as its connection.
struct ClientDescription {
    SocketAddress source, destination;  // of the payload, else of the socket
    std::string_view name, alpn, id;    // "" if the payload has none
    uint16_t edge_port = 0;             // the site socket's
};

class Connector {
  public:
    class Owner {
      public:
        // TCP_NODELAY and O_NONBLOCK are set. `address`: none for a Unix stream.
        virtual void on_connected(UniqueFd socket, BackendLease lease,
                                  const SocketAddress& address) noexcept = 0;
        virtual void on_no_backend(ConnectFailure failure) noexcept = 0;  // the last one's cause

      protected:
        ~Owner() = default;
    };

    // `bind_source`: the address to come from (IP_TRANSPARENT), for backends of its family; null:
    // the kernel chooses.
    Connector(EventLoop& loop, BackendGroup& group, const ClientDescription& client, Owner& owner,
              const SocketAddress* bind_source = nullptr);

    void start();
    // The backend that was given failed before a byte passed: another one.
    void next(ConnectFailure why);
    uint32_t attempts() const { return attempts_; }

  private:
    void try_next();
    void on_writable() noexcept;
    void on_timeout() noexcept;
    void fail(ConnectFailure why);

    BackendGroup& group_;
    const ClientDescription& client_;
    Owner& owner_;
    uint32_t attempts_ = 0;
    ConnectFailure last_failure_ = ConnectFailure::NoneUp;
    UniqueFd socket_;
    SocketAddress address_;
    BackendLease lease_;
    WriteWatcher<&Connector::on_writable> writable_;
    TimerWatcher<&Connector::on_timeout> timeout_;
};

}  // namespace proxyd::shim
