// SPDX-License-Identifier: MIT
//
// Receiver: takes clients from one site socket (docs/HANDOFF.md) when they come. Used by Worker.
// It only borrows the socket, which main holds open too: what is queued outlives a worker.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/handoff/receive.h"
#include "base/posix/unique_fd.h"

#include <cstdint>

namespace proxyd::shim {

// A site socket that is open, and which one it is.
struct SiteSocket {
    UniqueFd fd;
    size_t site = 0;  // its index in the configuration
    uint16_t port = 0;
};

class Receiver {
  public:
    class Owner {
      public:
        // Whether there is room for one more client; else none is taken until go_on(). What is
        // queued then stays with the socket, and proxyd keeps the clients that don't fit (and
        // rejects them after its wait_for_site).
        virtual bool has_room_for(const SiteSocket& from) = 0;
        virtual void on_client(ReceivedConnection received, const SiteSocket& from) noexcept = 0;

      protected:
        ~Owner() = default;
    };

    Receiver(EventLoop& loop, SiteSocket socket, Owner& owner)
        : socket_(std::move(socket)), owner_(owner), readable_(loop, *this) {
        go_on();
    }

    const SiteSocket& socket() const { return socket_; }
    bool waits_for_room() const { return !readable_.is_active() && !is_stopped_; }
    // Before relays have their turn, so that new clients have theirs in the same round.
    void go_on() { readable_.start(socket_.fd, 1); }
    // For good; what is queued by now is taken first, if that is wanted, room or not: nobody comes
    // after us who would take it.
    void stop(bool takes_what_is_queued);

  private:
    void on_readable() noexcept;
    void tell_of_nobody();
    // Whether it is worth to ask for the next one.
    bool take_one();

    SiteSocket socket_;
    Owner& owner_;
    // How many are taken at once: asking once too often costs two system calls.
    int burst_ = 1, full_bursts_ = 0;
    bool is_stopped_ = false;
    Clock::time_point told_at_{};  // of a datagram that brought nobody
    ReadWatcher<&Receiver::on_readable> readable_;
};

}  // namespace proxyd::shim
