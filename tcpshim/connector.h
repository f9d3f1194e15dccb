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
#include "tcpshim/backend.h"
#include "tcpshim/backend_connect.h"
#include "tcpshim/backend_group.h"
#include "tcpshim/connect_failure.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace proxyd::shim {

// What is known of a client; the views live as long as its Connection.
struct ClientDescription {
    SocketAddress source, destination;  // of the payload, else of the socket
    std::string_view name, alpn, id;    // "" if the payload has none
    uint16_t edge_port = 0;             // the site socket's port
};

class Connector final : BackendConnect::Owner, BackendGroup::Waiter {
  public:
    class Owner {
      public:
        // The socket is non-blocking, and in no epoll set. The backend counts one connection more
        // until `lease` goes. `address`: none for a Unix stream socket.
        virtual void on_connected(UniqueFd socket, BackendLease lease,
                                  const SocketAddress& address) noexcept = 0;
        virtual void on_no_backend(ConnectFailure failure) noexcept = 0;  // the last one's cause

      protected:
        ~Owner() = default;
    };

    // All outlive it. `bind_source`: the address that the backend shall see (IP_TRANSPARENT), or
    // nullptr; backends that have no address of its family are unreachable.
    Connector(EventLoop& loop, BackendGroup& group, const ClientDescription& client, Owner& owner,
              const SocketAddress* bind_source = nullptr, Opening* opening = nullptr);
    ~Connector() { group_.stop_waiting(*this); }
    Connector(const Connector&) = delete;
    Connector& operator=(const Connector&) = delete;

    void start();
    // The backend that was given has failed before a byte of it came: another one. Notes the
    // failure (BackendLease::note_failed isn't called beside it); the owner has let its lease go.
    // The time since on_connected() doesn't count for backend_wait.
    void next(ConnectFailure why);
    // Whether next() may find one.
    bool may_find_another() const;
    uint32_t attempts() const { return static_cast<uint32_t>(tried_.size()); }  // backends tried
    // Those that have failed, and how: "nas1.lan:443/timed_out,nas2.lan:443/refused".
    const std::string& failed() const { return failed_; }
    std::string_view last_tried() const;  // "": none, or it is gone

  private:
    void on_backend_connected(UniqueFd socket, const SocketAddress& address) noexcept override;
    void on_backend_failed(ConnectFailure failure) noexcept override;
    void on_backend_change() noexcept override;
    void on_wait_over() noexcept;
    void run_clock();
    void limit_wait();
    void stop_clock();
    void try_next();
    void note_failure(ConnectFailure failure);
    void give_up(ConnectFailure failure);

    EventLoop& loop_;
    BackendGroup& group_;
    const ClientDescription& client_;
    Owner& owner_;
    const SocketAddress* const bind_source_;
    Opening* const opening_;
    Clock::duration wait_left_;
    Clock::time_point clock_started_{};
    Clock::time_point began_{};  // the last try
    std::optional<ConnectFailure> last_failure_;
    std::vector<uint64_t> tried_;  // numbers of backends
    std::string failed_;
    BackendLease lease_;  // of the one that is being tried
    std::optional<BackendConnect> connect_;
    TimerWatcher<&Connector::on_wait_over> wait_over_;
};

}  // namespace proxyd::shim
