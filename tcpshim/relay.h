// SPDX-License-Identifier: MIT
//
// Relay: a client's socket and a backend's, and the bytes that go both ways between them until both
// have ended or one is broken. Used by Connection, which owns the sockets and the time.
//
// One that is reset is answered by a reset of the other, after all that it had still sent and the
// other takes at once: a server that answers before it has read all, and closes, sends both.
#pragma once

#include "tcpshim/relay_direction.h"
#include "tcpshim/relay_poll.h"

#include <cstdint>
#include <optional>

namespace proxyd::shim {

class Relay {
  public:
    enum class State : uint8_t {
        Going,
        More,    // wants another turn
        Ended,   // both sides have; first_to_end() is who did first
        Broken,  // the side of broken_side() was: error() says how; the other is to be reset
    };

    Relay() = default;

    void on_events(Side side, uint32_t epoll_events);
    State advance(const RelayServices& services, BorrowedFd client, BorrowedFd backend);
    void abandon(PipePool& pipes);
    // Another backend takes the place of one from which no byte came.
    void replace_backend();

    RelayDirection& to_backend() { return to_backend_; }
    RelayDirection& to_client() { return to_client_; }
    const RelayDirection& to_backend() const { return to_backend_; }
    const RelayDirection& to_client() const { return to_client_; }
    bool is_half_closed() const { return first_to_end_.has_value(); }
    Side first_to_end() const { return *first_to_end_; }
    Side broken_side() const { return *broken_; }
    int error() const { return error_; }

  private:
    RelayDirection& from(Side side) { return side == Side::Client ? to_backend_ : to_client_; }
    void note_broken(Side side, int error);
    // Whether it wants another turn.
    bool advance_from(Side side, const RelayServices& services, const RelaySocket& source,
                      const RelaySocket& target);

    RelayDirection to_backend_, to_client_;
    std::optional<Side> first_to_end_, broken_;
    int error_ = 0;
    bool is_client_non_blocking_ = false, is_backend_non_blocking_ = true;
};

}  // namespace proxyd::shim
