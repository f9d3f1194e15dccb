// SPDX-License-Identifier: MIT
//
// The ways of choosing among backends that could all be taken. Used by backend_group, which says
// which ones those are. Pure functions: no clock, no health.
#pragma once

#include "base/posix/socket_address.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace proxyd::shim {

struct Candidate {
    uint32_t weight = 1;     // at least 1
    size_t connections = 0;  // right now
    uint64_t identity = 0;   // identity_of() its text
    int64_t* credit;         // the turn-taking's memory, from call to call; 0 at first
};

// Each returns an index; there is at least one candidate.

// In turn, each as often as its weight says, evenly spread: everybody gains its weight as credit,
// and who is chosen pays for all.
size_t choose_in_turn(std::span<const Candidate> candidates);

// The one that would have the fewest connections for its weight; among equals in turn.
size_t choose_least_connections(std::span<const Candidate> candidates);

// The same one for the same source, as long as it is there. One more backend takes its share from
// all others and moves no other client, and one less gives its clients to all others: each pair of
// source and backend has a score of its own, and the highest wins (weighted rendezvous hashing).
size_t choose_by_source(std::span<const Candidate> candidates, uint64_t source);

// Equal in all processes, so that several tcpshims agree.
uint64_t identity_of(std::string_view text);
// Of the client's address without its port: an IPv4 address or an IPv6 /64, the glossary's source.
uint64_t identity_of(const SocketAddress& client);

}  // namespace proxyd::shim
