// SPDX-License-Identifier: MIT
//
// RelayDirection: the bytes that go one way, from one socket to the other, and how far they have
// come. Two of them make a relay; it neither owns the sockets nor waits for them, but is told of
// edges (relay_poll.h) and moves what can be moved.
//
// Few bytes are copied through a buffer that all relays share, many are spliced through a pipe that
// is lent for as long as bytes are in it. Nothing is read that the other side has no room for, so a
// slow reader holds its sender back, as if they spoke directly. End of file is carried through as
// shutdown(2) of the other side's writing half.
#pragma once

#include "tcpshim/pipe_pool.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace proxyd::shim {

// What all directions share.
struct RelayServices {
    PipePool& pipes;
    std::span<uint8_t> buffer;  // holds nothing between two calls
};

// What a direction reads from, or writes to.
struct RelaySocket {
    BorrowedFd fd;
    bool& is_non_blocking;  // O_NONBLOCK is set: splice(2) knows no MSG_DONTWAIT
};

class RelayDirection {
  public:
    enum class Progress : uint8_t {
        Waiting,       // for an edge
        More,          // has done enough for this time
        Ended,         // end of file came, and was carried through
        SourceFailed,  // error() says how
        TargetFailed,
    };

    RelayDirection() = default;
    RelayDirection(const RelayDirection&) = delete;
    RelayDirection& operator=(const RelayDirection&) = delete;

    // Of the epoll(7) events at the socket that it reads from, and at the one that it writes to.
    void on_source_events(uint32_t epoll_events);
    void on_target_events(uint32_t epoll_events);
    // A connection that is broken ends with an error, whatever recv(2) says.
    void mark_source_broken() { is_source_broken_ = can_read_ = has_hung_up_ = true; }

    // Not after it has ended or failed.
    Progress advance(const RelayServices& services, const RelaySocket& source,
                     const RelaySocket& target);
    // The target needn't be told of the end of file: it is going to be closed, and nobody else has
    // it open.
    void leave_end_to_close() { tells_end_ = false; }
    // Nothing is to be read until the next edge.
    void note_drained() { can_read_ = has_hung_up_; }
    void note_new_target() {
        can_write_ = true;
        has_written_ = is_prompt_ = false;
    }
    // Before each read, so that an urgent byte stays in its place (RFC 6093): SO_OOBINLINE is set
    // when an event has told of one, and before the second read, which may find one that no event
    // has told of. The first one has bytes before it, so it stops there (tcp(7)). Nothing is read
    // before an event has come.
    void prepare_read(BorrowedFd source);
    // Before each write to a target. The first one is sent at once anyway; before the second one
    // TCP_NODELAY is set, which many short connections never need.
    void prepare_write(BorrowedFd target);
    // Bytes that were read in another way: they go before all others. False: there is no pipe.
    bool hold(const RelayServices& services, std::span<const uint8_t> bytes);
    void reset_source() {
        can_read_ = has_hung_up_ = has_end_ = has_urgent_ = is_source_broken_ = false;
        has_read_ = is_inline_ = false;
    }
    bool may_read() const { return can_read_; }
    bool has_hung_up() const { return has_hung_up_; }
    bool has_urgent() const { return has_urgent_; }
    // The target has had no room.
    bool waits_for_room() const { return !can_write_ && !is_over_; }
    // Whoever drops a direction with bytes in hand says so.
    void abandon(PipePool& pipes);

    bool is_over() const { return is_over_; }
    bool holds_bytes() const { return held_ > 0; }
    uint64_t bytes() const { return bytes_; }          // written to the target
    void add_bytes(uint64_t more) { bytes_ += more; }  // that went another way
    int error() const { return error_; }

  private:
    enum class Step : uint8_t { Done, Blocked, Ended, SourceFailed, TargetFailed };

    Step read_into_pipe(const RelayServices& services, const RelaySocket& source,
                        const RelaySocket& target);
    Step write_from_pipe(const RelayServices& services, const RelaySocket& target);
    Step copy(const RelayServices& services, const RelaySocket& source, const RelaySocket& target);
    Step copy_without_pipe(const RelayServices& services, const RelaySocket& source,
                           const RelaySocket& target);
    Step after_failed_read();
    Step after_failed_write();
    Progress finish(Step step, const RelaySocket& target);
    Step note_end();

    Pipe pipe_;
    uint64_t bytes_ = 0;
    uint32_t held_ = 0;  // bytes in the pipe
    int error_ = 0;
    uint8_t small_reads_ = 0;  // in a row, while splicing
    // Edges that have come and are not used up.
    bool can_read_ : 1 = true, can_write_ : 1 = true;
    // The end of file, or an error, waits behind the bytes: a short read isn't the last one.
    bool has_hung_up_ : 1 = false;
    // The end of file alone, in its order: a short read is the last one.
    bool has_end_ : 1 = false;
    bool has_urgent_ : 1 = false;  // reads stop at the mark: sockatmark(3)
    bool is_source_broken_ : 1 = false;
    bool is_bulk_ : 1 = false;  // splice
    bool is_over_ : 1 = false;
    bool tells_end_ : 1 = true;
    bool has_read_ : 1 = false, is_inline_ : 1 = false;     // SO_OOBINLINE
    bool has_written_ : 1 = false, is_prompt_ : 1 = false;  // TCP_NODELAY
};

}  // namespace proxyd::shim
