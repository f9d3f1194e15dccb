// SPDX-License-Identifier: MIT
//
// Listener: accepts clients at one listening socket (listening_sockets.h), in a worker.
//
// The socket lies in an epoll set of its own inside the event loop: libev relies on close(2) to
// take a descriptor out of its set, but main has the socket open, too.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/posix/unique_fd.h"
#include "proxyd/session.h"
#include "proxyd/statistics.h"

#include <optional>
#include <string>

namespace proxyd {

// A worker's share of a listening address.
struct ListeningSocket {
    UniqueFd socket;
    SocketAddress address;  // with the port that the kernel chose, if it was to choose
    std::string site;       // the listener's own site directory, or ""
    const AccessLists* access = nullptr;  // the listener's, in the configuration
    ProxyProtocol proxy_protocol;
    UniqueFd epoll = {};  // of it alone: see Listener
};

// Not open if the system has no descriptor left.
UniqueFd epoll_of(BorrowedFd listening_socket);

class Listener {
  public:
    class Owner {
      public:
        // What is in the way of taking another client; nothing, usually.
        virtual std::optional<AcceptPause> lack_of_room() = 0;
        virtual void on_accepted(UniqueFd connection, const SocketAddress& client,
                                 const Entrance& entrance) = 0;
        virtual void on_accept_pause(AcceptPause cause) = 0;

      protected:
        ~Owner() = default;
    };

    Listener(EventLoop& loop, ListeningSocket socket, Owner& owner);
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    const Entrance& entrance() const { return entrance_; }
    // Takes what is in the backlog, and listens no more.
    void stop();
    // Whether it has stopped for a while since the owner has no room.
    bool waits_for_room() const { return waits_for_room_; }
    void go_on();

  private:
    enum class Accepted { One, None, NoRoom };

    void on_readable() noexcept;
    void on_pause_over() noexcept;
    Accepted accept_one();
    void pause(AcceptPause cause, std::string_view why);

    UniqueFd socket_;
    UniqueFd epoll_;  // of socket_ alone
    const std::string site_directory_;
    const Entrance entrance_;
    Owner& owner_;
    Clock::time_point tells_of_pause_from_{};
    bool waits_for_room_ = false;
    ReadWatcher<&Listener::on_readable> readable_;
    TimerWatcher<&Listener::on_pause_over> pause_;
};

}  // namespace proxyd
