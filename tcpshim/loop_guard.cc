// SPDX-License-Identifier: MIT
#include "tcpshim/loop_guard.h"

#include <string.h>

namespace proxyd::shim {

LoopGuard::Key LoopGuard::key_of(const SocketAddress& address) {
    Key key{};
    const SocketAddress mapped = address.as_v4_mapped();
    const uint16_t port = address.port();
    memcpy(key.data(), &mapped.ipv6(), 16);
    memcpy(key.data() + 16, &port, sizeof(port));
    return key;
}

bool LoopGuard::is_own(const SocketAddress& source, const SocketAddress& destination) {
    if (!source.has_address() || !destination.has_address()) return false;
    const Key place = key_of(destination);
    if (places_.insert(place).second && places_.size() > PlacesMax) places_ = {place};
    return !owners_.empty() && owners_.contains({key_of(source), place});
}

void LoopGuard::note_connected(const void* owner, BorrowedFd socket, const SocketAddress& remote) {
    forget(owner);
    if (!remote.has_address()) return;
    const Key place = key_of(remote);
    if (!places_.contains(place)) return;
    const auto local = SocketAddress::local_of(socket);
    if (!local) return;
    const Ends ends{key_of(*local), place};
    if (owners_.emplace(ends, owner).second) ends_.emplace(owner, ends);
}

void LoopGuard::forget(const void* owner) {
    if (ends_.empty()) return;
    const auto found = ends_.find(owner);
    if (found == ends_.end()) return;
    owners_.erase(found->second);
    ends_.erase(found);
}

}  // namespace proxyd::shim
