// SPDX-License-Identifier: MIT
//
// LoopGuard knows a client that is one of our own connections to a backend, come back: the
// backend's name leads to this machine, and proxyd hands that connection over like any other. Each
// time it went round it would be relayed once more, without end. Used by Connection; it moves
// nothing and decides nothing.
//
// Only connections that lead to where clients have come in are remembered, so it costs nothing as
// long as there are none. An address that is translated on the way isn't recognised.
#pragma once

#include "base/posix/socket_address.h"
#include "base/posix/unique_fd.h"

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <utility>

namespace proxyd::shim {

class LoopGuard {
  public:
    // A client has come from `source` to `destination`; whether that is a connection of ours.
    bool is_own(const SocketAddress& source, const SocketAddress& destination);

    // `owner` has `socket` now, which is connected to `remote`; one at a time.
    void note_connected(const void* owner, BorrowedFd socket, const SocketAddress& remote);
    void forget(const void* owner);

    size_t suspect_count() const { return ends_.size(); }

  private:
    // Places where clients come in are listeners of proxyd's, or of load balancers before it.
    static constexpr size_t PlacesMax = 1024;

    using Key = std::array<uint8_t, 18>;  // the address and the port
    using Ends = std::pair<Key, Key>;     // our own, and where it is connected to
    static Key key_of(const SocketAddress& address);

    std::set<Key> places_;
    std::map<const void*, Ends> ends_;
    std::map<Ends, const void*> owners_;
};

}  // namespace proxyd::shim
