// SPDX-License-Identifier: MIT
#include "tcpshim/balancer.h"

#include "tests/unit/catch.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

using namespace proxyd;
using namespace proxyd::shim;

namespace {

// Candidates a, b, c... with these weights.
struct Field {
    explicit Field(const std::vector<uint32_t>& weights) : credits(weights.size(), 0) {
        for (size_t i = 0; i < weights.size(); i++)
            candidates.push_back(
                {.weight = weights[i],
                 .identity = identity_of(std::string(1, static_cast<char>('a' + i))),
                 .credit = &credits[i]});
    }

    std::string in_turn(size_t count) {
        std::string chosen;
        for (size_t i = 0; i < count; i++)
            chosen += static_cast<char>('a' + choose_in_turn(candidates));
        return chosen;
    }

    // With connections that stay.
    std::string least(size_t count) {
        std::string chosen;
        for (size_t i = 0; i < count; i++) {
            const size_t index = choose_least_connections(candidates);
            candidates[index].connections++;
            chosen += static_cast<char>('a' + index);
        }
        return chosen;
    }

    // Whom each of `Sources` is sent to.
    std::vector<size_t> by_source() const {
        std::vector<size_t> chosen;
        for (uint32_t i = 0; i < Sources; i++)
            chosen.push_back(choose_by_source(
                candidates, identity_of(SocketAddress::from_ipv4({.s_addr = i}, 0))));
        return chosen;
    }

    static constexpr uint32_t Sources = 100'000;
    std::vector<int64_t> credits;
    std::vector<Candidate> candidates;
};

size_t count_of(const std::vector<size_t>& chosen, size_t index) {
    return static_cast<size_t>(std::ranges::count(chosen, index));
}

// Within 1.5 % of all: more than five standard deviations.
bool is_about(size_t count, double share) {
    const double difference = static_cast<double>(count) - share * Field::Sources;
    return std::abs(difference) < 0.015 * Field::Sources;
}

}  // namespace

TEST_CASE("balancer: takes turns, evenly spread by weight", "[balancer]") {
    CHECK(Field({1}).in_turn(3) == "aaa");
    CHECK(Field({1, 1, 1}).in_turn(7) == "abcabca");
    CHECK(Field({5, 1, 1}).in_turn(14) == "aabacaaaabacaa");
    CHECK(Field({256, 1}).in_turn(257).find('b') == 128);
}

TEST_CASE("balancer: chooses the fewest connections for the weight", "[balancer]") {
    CHECK(Field({1, 1}).least(4) == "abba");  // equal again: who paid last comes last
    CHECK(Field({3, 1}).least(8) == "aaabaaab");
    Field field({1, 1, 1});
    field.candidates[0].connections = 3;
    field.candidates[2].connections = 1;
    CHECK(field.least(4) == "bbcc");
}

TEST_CASE("balancer: with equally few connections it takes turns", "[balancer]") {
    Field field({2, 1});
    field.candidates[0].connections = 1;
    std::string chosen;
    for (int i = 0; i < 6; i++)
        chosen += static_cast<char>('a' + choose_least_connections(field.candidates));
    CHECK(chosen == "abaaba");
}

TEST_CASE("balancer: sources are spread by weight", "[balancer]") {
    const auto even = Field({1, 1, 1}).by_source();
    for (size_t i = 0; i < 3; i++)
        CHECK(is_about(count_of(even, i), 1.0 / 3));
    const auto weighted = Field({3, 1, 6}).by_source();
    CHECK(is_about(count_of(weighted, 0), 0.3));
    CHECK(is_about(count_of(weighted, 1), 0.1));
    CHECK(is_about(count_of(weighted, 2), 0.6));
    // What counts is the weight beside the others'.
    CHECK(Field({3'000, 1'000, 6'000}).by_source() == weighted);
}

TEST_CASE("balancer: another backend takes its share from all, and moves no other source",
          "[balancer]") {
    const auto before = Field({2, 1, 1}).by_source();
    const auto after = Field({2, 1, 1, 4}).by_source();
    size_t taken[3] = {};
    for (size_t i = 0; i < before.size(); i++) {
        if (after[i] == before[i]) continue;
        CHECK(after[i] == 3);
        taken[before[i]]++;
    }
    CHECK(is_about(taken[0] + taken[1] + taken[2], 0.5));
    CHECK(is_about(taken[0], 0.25));
    CHECK(is_about(taken[1], 0.125));
    CHECK(is_about(taken[2], 0.125));
}

TEST_CASE("balancer: the sources of a backend that is gone are shared by all others",
          "[balancer]") {
    const auto before = Field({1, 1, 1}).by_source();
    Field field({1, 1, 1});
    field.candidates.erase(field.candidates.begin());
    const auto after = field.by_source();
    size_t moved[2] = {};
    for (size_t i = 0; i < before.size(); i++) {
        if (before[i] == 0)
            moved[after[i]]++;
        else
            CHECK(after[i] == before[i] - 1);
    }
    CHECK(is_about(moved[0], 1.0 / 6));
    CHECK(is_about(moved[1], 1.0 / 6));
}

TEST_CASE("balancer: a source is an IPv4 address or an IPv6 /64, without its port", "[balancer]") {
    const auto identity = [](std::string_view host, uint16_t port) {
        return identity_of(*SocketAddress::parse_host(host, port));
    };
    CHECK(identity("192.0.2.1", 1) == identity("192.0.2.1", 2));
    CHECK(identity("192.0.2.1", 1) == identity("::ffff:192.0.2.1", 1));
    CHECK(identity("192.0.2.1", 1) != identity("192.0.2.2", 1));
    CHECK(identity("2001:db8:0:1::1", 1) == identity("2001:db8:0:1:ffff:ffff:ffff:ffff", 1));
    CHECK(identity("2001:db8:0:1::1", 1) != identity("2001:db8:0:2::1", 1));
    CHECK(identity_of(SocketAddress()) == 0);
}
