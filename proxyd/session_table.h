// SPDX-License-Identifier: MIT
//
// SessionTable owns the sessions of a worker. A session's place is used again after it, so the
// usual session costs no allocation; its key tells it from the others that had its place.
#pragma once

#include "proxyd/session.h"

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

namespace proxyd {

class SessionTable {
  public:
    // With places for the first sessions already: a worker that gets no more memory goes on with
    // them.
    SessionTable();
    SessionTable(const SessionTable&) = delete;
    SessionTable& operator=(const SessionTable&) = delete;

    // Whether there is memory for one more.
    bool reserve_one();
    Session& add(SessionServices& services, UniqueFd connection, const SocketAddress& client,
                 const Entrance& entrance);
    Session* find(uint64_t key);  // null if it has ended
    void erase(Session& session);
    size_t size() const { return size_; }
    template <typename Each>
    void for_each(Each each) {
        for (Place& place : places_)
            if (place.session) each(*place.session);
    }

  private:
    struct Place {
        uint32_t generation = 0;
        std::optional<Session> session;
    };

    // Given up when memory ends, so that there is some for what sessions that exist still need.
    static constexpr size_t PlacesMin = 32;
    static constexpr size_t BallastBytes = 512 * 1024;

    std::unique_ptr<char[]> ballast_;
    std::deque<Place> places_;  // a deque, because sessions never move
    std::vector<uint32_t> free_;
    size_t size_ = 0;
    uint32_t next_number_ = 0;
};

}  // namespace proxyd
