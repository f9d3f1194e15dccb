// SPDX-License-Identifier: MIT
//
// ConnectPoll waits for sockets that are being connected, with an epoll set of its own inside the
// event loop. Used by connect_attempt and check_probe. libev's own set won't do: it takes a
// descriptor out only when it is closed, but a connected socket goes on to the relay, and would
// wake both.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/posix/unique_fd.h"

#include <sys/epoll.h>

#include <array>
#include <cstdint>

namespace proxyd::shim {

class ConnectPoll {
  public:
    class Handler {
      public:
        virtual void on_socket_ready() noexcept = 0;

      protected:
        ~Handler() = default;
    };

    // `many`: from how many on who has one should do with it.
    explicit ConnectPoll(EventLoop& loop, size_t many = SIZE_MAX);
    ~ConnectPoll() = default;
    ConnectPoll(const ConnectPoll&) = delete;
    ConnectPoll& operator=(const ConnectPoll&) = delete;

    bool is_open() const { return epoll_.is_open(); }
    // Level-triggered; false if the kernel has no room for it, with its reason in errno.
    [[nodiscard]] bool add(BorrowedFd socket, uint32_t epoll_events, Handler& handler);
    // The handler isn't called any more, even if its event has come already.
    void remove(BorrowedFd socket, Handler& handler);
    // How many it has.
    size_t size() const { return size_; }
    bool has_many() const { return size_ >= many_; }

  private:
    void on_readable() noexcept;

    const size_t many_;
    UniqueFd epoll_;
    // What has come in this round and whom it is for; nullptr once it is removed.
    std::array<epoll_event, 64> events_;
    size_t count_ = 0, size_ = 0;
    ReadWatcher<&ConnectPoll::on_readable> readable_;
};

}  // namespace proxyd::shim
