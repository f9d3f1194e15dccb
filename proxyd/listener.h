// SPDX-License-Identifier: MIT
//
// Listener: accepts clients at one listening socket. The sockets are opened before any worker is
// there and given to it.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/posix/result.h"
#include "base/posix/unique_fd.h"
#include "proxyd/configuration.h"
#include "proxyd/session.h"

#include <string>
#include <vector>

namespace proxyd {

struct ListeningSocket {
    UniqueFd socket;
    SocketAddress address;  // with the port that the kernel chose, if it was to choose
    std::string site;       // the listener's own site directory, or ""
    ProxyProtocol proxy_protocol;
    std::string place;  // "file:line: listen[0]", for messages
};

// Binds all that can be bound, and adds a message ("file:line: listen[0]: cannot listen on ...")
// for each that can't.
std::vector<ListeningSocket> bind_listening_sockets(const Configuration& configuration,
                                                    std::vector<std::string>& problems);

// From then on clients are let in. The error is such a message.
Result<void, std::string> start_listening(const std::vector<ListeningSocket>& sockets);

class Listener {
  public:
    class Owner {
      public:
        // Whether another client can be taken; makes room for it if need be.
        virtual bool make_room() = 0;
        virtual void on_accepted(UniqueFd connection, const SocketAddress& client,
                                 const Entrance& entrance) = 0;

      protected:
        ~Owner() = default;
    };

    Listener(EventLoop& loop, ListeningSocket socket, Owner& owner);
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    const Entrance& entrance() const { return entrance_; }
    // Takes what is in the backlog, and listens no more.
    void stop();

  private:
    enum class Accepted { One, None, NoRoom };

    void on_readable() noexcept;
    void on_pause_over() noexcept;
    Accepted accept_one();
    void pause(std::string_view why);

    UniqueFd socket_;
    const Entrance entrance_;
    Owner& owner_;
    bool has_told_of_pause_ = false;
    ReadWatcher<&Listener::on_readable> readable_;
    TimerWatcher<&Listener::on_pause_over> pause_;
};

}  // namespace proxyd
