// SPDX-License-Identifier: MIT
//
// PreparedSockets: the sockets of one edge port that somebody else holds open for this server, so
// that its queue outlives it: those that it inherited (PROXYD_SOCKETS), and those that its keeper
// gives out (PROXYD_KEEPER). Used by libpreload's bind, which puts one in the place of the
// program's socket. It makes none, and leaves the choice of names to bind.
//
// A keeper is asked by one message on a connection of its own, the edge port in decimal digits, and
// answers by one message with its sockets for that port, one of them unused, or by several, all but
// the last of which say "more". It sees the end of the
// connection when bind is through; before that, if bind failed, a second message with its errno.
#pragma once

#include "base/handoff/listener_state.h"
#include "base/handoff/site_socket.h"
#include "base/posix/unique_fd.h"

#include <stdint.h>

#include <array>
#include <cstddef>
#include <optional>

namespace proxyd {

class SiteDirectory;

struct PreparedSocket {
    int number = -1;
    UniqueFd owned;                      // the same, if it came from the keeper
    std::optional<ListenerState> state;  // nothing: no server has ever bound it
    bool is_hidden = false;              // its file's name began with a dot: proxyd never saw it
    BoundName file_name;                 // as it was made

    BorrowedFd fd() const { return BorrowedFd(number); }
    // Nobody listens with it: it was never bound, or whoever did has ended, or has closed it.
    bool is_idle() const;
    bool is_unused() const { return !state || state->claimant == 0; }
    // Whether its file is there: as it was made, or under the name that a server gave it. True if
    // that can't be seen.
    bool has_name(uint16_t edge_port, const SiteDirectory& directory) const;
};

enum class PreparedChoice {
    None,   // no socket for this address, and no unused one
    Claim,  // `socket` is idle
    Share,  // `socket` is in use for this very address, and both have SO_REUSEPORT
    Taken,  // a live process has this very address
};

class PreparedSockets {
  public:
    // Of those that were bound before, only such as have to do with `wanted` count; there may be
    // any number of others.
    PreparedSockets(uint16_t edge_port, const InstanceLabel& wanted);

    // `directory`, if it may be used, says which of them have lost their names, or have theirs in
    // another one: such a socket is left to those who have it open, since nobody will send to it.
    PreparedChoice choose(uint16_t edge_port, const InstanceLabel& wanted, bool reuses_port,
                          const SiteDirectory* directory, PreparedSocket*& socket);
    // Whether the site socket called so is one of these, and idle.
    bool has_idle(const InstanceLabel& label) const;
    // The one that was made under that name, if any.
    const PreparedSocket* find(const BoundName& file_name) const;
    void tell_keeper_of_failure(int error_number);

  private:
    static constexpr size_t CountMax = 64;

    void add(UniqueFd owned, int number, uint16_t edge_port, const InstanceLabel& wanted);
    void ask_keeper(uint16_t edge_port, const InstanceLabel& wanted);
    // Whether there is more to come.
    bool take_answer(uint16_t edge_port, const InstanceLabel& wanted);

    UniqueFd keeper_;  // declared first: closed last
    std::array<PreparedSocket, CountMax> sockets_{};
    size_t count_ = 0;
};

}  // namespace proxyd
