// SPDX-License-Identifier: MIT
//
// LeftClients: clients who were queued for a server that takes them no more, on their way to the
// site's other receivers. It waits for room there from the loop, for ten seconds at most. Used by
// kept_sockets, which has the queues, and by supervisor.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/handoff/instance_label.h"
#include "base/handoff/receive.h"
#include "base/posix/unique_fd.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

namespace proxyd {

class LeftClients {
  public:
    // At a time: each costs a descriptor.
    static constexpr size_t CountMax = 128;

    class Owner {
      public:
        // Nobody is left: each has been taken, or nobody has had room for him in time.
        virtual void on_clients_settled() noexcept = 0;

      protected:
        ~Owner() = default;
    };

    // `directory` is the site's.
    LeftClients(EventLoop& loop, BorrowedFd directory, Owner& owner);
    ~LeftClients();
    LeftClients(const LeftClients&) = delete;
    LeftClients& operator=(const LeftClients&) = delete;

    // Whether anybody lives who receives for that port.
    bool has_receivers(uint16_t edge_port) const;
    bool is_full() const { return waiting_.size() >= CountMax; }
    bool is_empty() const { return waiting_.empty(); }
    void add(ReceivedConnection client, uint16_t edge_port);

    // How many nobody has taken in time, since it was asked last.
    size_t take_lost();
    // Lets go of those who are left: they are lost.
    void give_up();

  private:
    struct Waiting {
        ReceivedConnection client;
        uint16_t edge_port = 0;
        Clock::time_point deadline;
    };
    class Receiver;

    void on_time() noexcept;
    void advance();
    void find_receivers();
    bool hand_over(const Waiting& waiting);

    EventLoop& loop_;
    BorrowedFd directory_;
    Owner& owner_;
    std::deque<Waiting> waiting_;
    std::vector<std::unique_ptr<Receiver>> receivers_;
    size_t lost_ = 0;
    TimerWatcher<&LeftClients::on_time> timer_;
};

}  // namespace proxyd
