// SPDX-License-Identifier: MIT
#include "tcpshim/loop_guard.h"

#include "tests/support/tcp_pair.h"
#include "tests/unit/catch.h"

using namespace proxyd;
using namespace proxyd::shim;

namespace {

// A connection of ours, as whoever accepts it sees it.
struct Own {
    explicit Own(sa_family_t family = AF_INET) : pair(test::tcp_pair(family)) {}
    SocketAddress source() const { return *SocketAddress::peer_of(pair.accepted); }
    SocketAddress destination() const { return *SocketAddress::local_of(pair.accepted); }

    test::TcpPair pair;
};

SocketAddress address(const char* host, uint16_t port) {
    return *SocketAddress::parse_host(host, port);
}

}  // namespace

TEST_CASE("loop_guard: a connection of ours that comes back is known", "[loop_guard]") {
    for (const sa_family_t family : {sa_family_t{AF_INET}, sa_family_t{AF_INET6}}) {
        LoopGuard guard;
        const Own own(family);
        CHECK_FALSE(guard.is_own(address("192.0.2.7", 50000), own.destination()));
        guard.note_connected(&own, own.pair.client, own.destination());
        CHECK(guard.is_own(own.source(), own.destination()));
        guard.forget(&own);
        CHECK_FALSE(guard.is_own(own.source(), own.destination()));
        CHECK(guard.suspect_count() == 0);
    }
}

TEST_CASE("loop_guard: a connection to where no client comes in isn't remembered", "[loop_guard]") {
    LoopGuard guard;
    const Own own;
    guard.is_own(address("192.0.2.7", 50000), address("192.0.2.1", 443));
    guard.note_connected(&own, own.pair.client, own.destination());
    CHECK(guard.suspect_count() == 0);
}

TEST_CASE("loop_guard: another client from the same address and port is another", "[loop_guard]") {
    LoopGuard guard;
    const Own own;
    guard.is_own(address("192.0.2.7", 50000), own.destination());
    guard.note_connected(&own, own.pair.client, own.destination());
    CHECK_FALSE(guard.is_own(own.source(), address("127.0.0.1", 1)));
    CHECK_FALSE(guard.is_own(address("127.0.0.1", 1), own.destination()));
    CHECK_FALSE(guard.is_own(SocketAddress(), own.destination()));
    CHECK_FALSE(guard.is_own(own.source(), SocketAddress()));
}

TEST_CASE("loop_guard: whoever connects anew has only the new connection", "[loop_guard]") {
    LoopGuard guard;
    const Own first, second;
    guard.is_own(address("192.0.2.7", 50000), first.destination());
    guard.is_own(address("192.0.2.7", 50000), second.destination());
    guard.note_connected(&guard, first.pair.client, first.destination());
    guard.note_connected(&guard, second.pair.client, second.destination());
    CHECK_FALSE(guard.is_own(first.source(), first.destination()));
    CHECK(guard.is_own(second.source(), second.destination()));
    guard.note_connected(&guard, second.pair.client, SocketAddress());  // a Unix socket
    CHECK(guard.suspect_count() == 0);
}

TEST_CASE("loop_guard: places are forgotten when there are too many", "[loop_guard]") {
    LoopGuard guard;
    const Own own;
    guard.is_own(address("192.0.2.7", 50000), own.destination());
    for (uint16_t port = 1; port <= 1024; port++)
        guard.is_own(address("192.0.2.7", 50000), address("192.0.2.1", port));
    guard.note_connected(&own, own.pair.client, own.destination());
    CHECK(guard.suspect_count() == 0);
    guard.is_own(address("192.0.2.7", 50000), own.destination());
    guard.note_connected(&own, own.pair.client, own.destination());
    CHECK(guard.suspect_count() == 1);
}
