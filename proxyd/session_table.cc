// SPDX-License-Identifier: MIT
#include "proxyd/session_table.h"

#include <cassert>
#include <new>

namespace proxyd {

SessionTable::SessionTable()
    : ballast_(std::make_unique<char[]>(BallastBytes)), places_(PlacesMin) {
    free_.reserve(2 * PlacesMin);
    for (uint32_t index = PlacesMin; index > 0; index--)
        free_.push_back(index - 1);
}

bool SessionTable::reserve_one() {
    if (!free_.empty()) return true;
    if (!ballast_) ballast_.reset(new (std::nothrow) char[BallastBytes]);
    if (!ballast_) return false;
    try {
        // As much as will be needed when all of them have ended.
        if (free_.capacity() <= places_.size()) free_.reserve(2 * places_.size() + 16);
        places_.emplace_back();
    } catch (const std::bad_alloc&) {
        ballast_.reset();
        return false;
    }
    free_.push_back(static_cast<uint32_t>(places_.size() - 1));
    return true;
}

Session& SessionTable::add(SessionServices& services, UniqueFd connection,
                           const SocketAddress& client, const Entrance& entrance) {
    const bool has_place = reserve_one();
    assert(has_place && "whoever accepts has asked");
    const uint32_t index = free_.back();
    free_.pop_back();
    Place& place = places_[index];
    const uint64_t key = uint64_t{++place.generation} << 32 | index;
    size_++;
    return place.session.emplace(services, key, next_number_++, std::move(connection), client,
                                 entrance);
}

Session* SessionTable::find(uint64_t key) {
    Place& place = places_[static_cast<uint32_t>(key)];
    if (place.generation != key >> 32 || !place.session) return nullptr;
    return &*place.session;
}

void SessionTable::erase(Session& session) {
    const auto index = static_cast<uint32_t>(session.key());
    places_[index].session.reset();
    free_.push_back(index);
    size_--;
}

}  // namespace proxyd
