// SPDX-License-Identifier: MIT
//
// RelayPoll waits for the sockets of clients and backends, with an epoll set of its own inside the
// event loop: edge-triggered, each socket registered once, and a second time when it has had no
// room for what was to be written, so that a relay makes no epoll_ctl(2) call while it runs, and
// none at its end: what is registered names a place in a table, not a handler, so events of a
// socket that is closed here but still open elsewhere (proxyd may have a client's for a moment
// longer) find nobody. libev's own set won't do for that. Used by Connection.
//
// Edges tell of changes only: whoever is called reads and writes until EAGAIN, or remembers that
// there is more and asks to be called again, so that one busy relay doesn't keep others waiting.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/posix/result.h"
#include "base/posix/unique_fd.h"

#include <sys/epoll.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace proxyd::shim {

enum class Side : uint8_t { Client, Backend };

inline constexpr Side other_side(Side side) {
    return side == Side::Client ? Side::Backend : Side::Client;
}

class RelayPoll {
  public:
    class Handler {
      public:
        // Some of the epoll(7) events; the handler may destroy itself in both.
        virtual void on_socket_events(Side side, uint32_t epoll_events) noexcept = 0;
        // It had asked to be called again.
        virtual void on_turn() noexcept = 0;

        static constexpr uint32_t NoPlace = UINT32_MAX;
        uint32_t place = NoPlace;  // the poll's

      protected:
        ~Handler() = default;
    };

    explicit RelayPoll(EventLoop& loop);

    bool is_open() const { return epoll_.is_open(); }
    // For input and for the end. Fails with ENOSPC (max_user_watches) or ENOMEM. What is there
    // already is told next time.
    Result<void> add(BorrowedFd socket, Handler& handler, Side side);
    // For room to write, too, from now on: a socket that always has some needn't be woken for.
    void add_room(BorrowedFd socket, Handler& handler, Side side);
    // Once, after all others have had their turn.
    void call_again(Handler& handler);
    // The same for one that has just been added: in this round of the loop, after what is there
    // already has been told.
    void call_soon(Handler& handler);
    // No call comes any more. Its sockets are to be closed.
    void forget(Handler& handler);

  private:
    static constexpr size_t EventsMax = 128;

    struct Place {
        Handler* handler = nullptr;
        uint32_t generation = 0;  // how many handlers have left it
    };

    uint64_t key_of(Handler& handler, Side side);
    Handler* handler_of(uint64_t key) const;
    void on_readable() noexcept;
    void run_turns();

    UniqueFd epoll_;
    std::array<epoll_event, EventsMax> events_;
    std::vector<Place> places_;
    std::vector<uint32_t> free_places_;
    std::vector<Handler*> turns_, turns_now_;
    ReadWatcher<&RelayPoll::on_readable> readable_;
    IdleWatcher<&RelayPoll::on_readable> idle_;  // active while anybody wants another turn
};

}  // namespace proxyd::shim
