// SPDX-License-Identifier: MIT
//
// EpollRegistrations: under which epoll instances of this process a descriptor is registered, read
// from /proc/self/fdinfo before the stand-in replaces the TCP socket (its registrations vanish with
// it) and restored after. Used by libpreload's bind: Boost.Asio and others register a socket when
// they create it. Without /proc nothing is found, and nothing is restored.
#pragma once

#include <stddef.h>
#include <sys/epoll.h>

#include <array>

namespace proxyd {

class EpollRegistrations {
  public:
    static EpollRegistrations of(int fd);
    void restore(int fd);

  private:
    struct Registration {
        int epoll_fd;
        epoll_event event;
    };
    static constexpr size_t CountMax = 16;

    void read_instance(int epoll_fd, int fd);

    std::array<Registration, CountMax> registrations_{};
    size_t count_ = 0;
};

}  // namespace proxyd
