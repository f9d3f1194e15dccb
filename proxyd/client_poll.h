// SPDX-License-Identifier: MIT
//
// ClientPoll waits for clients' sockets, with an epoll set of its own inside the event loop. Used
// by session; libev's own set won't do: it relies on close(2) to take a descriptor out, but a
// socket that was handed over is still open elsewhere, and its events would go on to wake us. Here
// a descriptor is taken out with EPOLL_CTL_DEL before it is sent.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/posix/result.h"
#include "base/posix/unique_fd.h"

#include <cstdint>

namespace proxyd {

class ClientPoll {
  public:
    class Owner {
      public:
        // The client with that key has some of the epoll(7) events. A key may be stale by then: an
        // earlier call of the same round has ended its session.
        virtual void on_client_event(uint64_t key, uint32_t epoll_events) = 0;

      protected:
        ~Owner() = default;
    };

    ClientPoll(EventLoop& loop, Owner& owner);

    bool is_open() const { return epoll_.is_open(); }
    // Level-triggered. Fails with ENOSPC (max_user_watches) or ENOMEM.
    Result<void> add(BorrowedFd client, uint64_t key, uint32_t events);
    void change(BorrowedFd client, uint64_t key, uint32_t events);
    void remove(BorrowedFd client);

  private:
    void on_readable() noexcept;

    UniqueFd epoll_;
    Owner& owner_;
    ReadWatcher<&ClientPoll::on_readable> readable_;
};

}  // namespace proxyd
