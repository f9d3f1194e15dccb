// SPDX-License-Identifier: MIT
#include "tcpshim/balancer.h"

#include "base/daemon/sip_hash.h"

#include <array>
#include <cassert>
#include <cmath>
#include <cstring>

namespace proxyd::shim {
namespace {

// Of no secret: nobody gains by having a certain backend.
constexpr SipHashKey Key{.low = 0x7463707368696d20, .high = 0x6261636b656e6473};

// -log of an evenly spread number between 0 and 1, divided by the weight: the least of such numbers
// falls to each candidate as often as its weight says.
double arrival(uint64_t hash, uint32_t weight) {
    const double even = (static_cast<double>(hash >> 11) + 0.5) * 0x1p-53;
    return -std::log(even) / weight;
}

}  // namespace

size_t choose_in_turn(std::span<const Candidate> candidates) {
    assert(!candidates.empty());
    size_t best = 0;
    int64_t total = 0;
    for (size_t i = 0; i < candidates.size(); i++) {
        *candidates[i].credit += candidates[i].weight;
        total += candidates[i].weight;
        if (*candidates[i].credit > *candidates[best].credit) best = i;
    }
    *candidates[best].credit -= total;
    return best;
}

size_t choose_least_connections(std::span<const Candidate> candidates) {
    assert(!candidates.empty());
    // (a + 1) / weight of a < (b + 1) / weight of b, without division.
    const auto is_less_loaded = [](const Candidate& a, const Candidate& b) {
        return (a.connections + 1) * b.weight < (b.connections + 1) * a.weight;
    };
    size_t least = 0;
    for (size_t i = 1; i < candidates.size(); i++)
        if (is_less_loaded(candidates[i], candidates[least])) least = i;

    size_t best = least;
    int64_t total = 0;
    for (size_t i = least; i < candidates.size(); i++) {
        if (is_less_loaded(candidates[least], candidates[i])) continue;
        *candidates[i].credit += candidates[i].weight;
        total += candidates[i].weight;
        if (*candidates[i].credit > *candidates[best].credit) best = i;
    }
    *candidates[best].credit -= total;
    return best;
}

size_t choose_by_source(std::span<const Candidate> candidates, uint64_t source) {
    assert(!candidates.empty());
    size_t best = 0;
    double best_arrival = HUGE_VAL;
    for (size_t i = 0; i < candidates.size(); i++) {
        std::array<uint8_t, 16> pair;
        memcpy(pair.data(), &source, 8);
        memcpy(pair.data() + 8, &candidates[i].identity, 8);
        const double arrives = arrival(sip_hash(Key, pair), candidates[i].weight);
        if (arrives < best_arrival) {
            best = i;
            best_arrival = arrives;
        }
    }
    return best;
}

uint64_t identity_of(std::string_view text) {
    return sip_hash(Key, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

uint64_t identity_of(const SocketAddress& client) {
    if (!client.has_address()) return 0;
    const SocketAddress address = client.as_v4_mapped();
    const Bytes bytes(address.ipv6().s6_addr, 16);
    return sip_hash(Key, IN6_IS_ADDR_V4MAPPED(&address.ipv6()) ? bytes : bytes.first(8));
}

}  // namespace proxyd::shim
