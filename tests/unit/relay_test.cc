// SPDX-License-Identifier: MIT
#include "tcpshim/relay.h"

#include "tests/support/fd_census.h"
#include "tests/support/tcp_pair.h"
#include "tests/unit/catch.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <string>

using namespace proxyd;
using namespace proxyd::shim;
using proxyd::test::tcp_pair;

namespace {

constexpr uint32_t AllEdges = EPOLLIN | EPOLLOUT;

void wait_until_readable(BorrowedFd socket) {
    pollfd query{socket.number(), POLLIN, 0};
    REQUIRE(poll(&query, 1, 30'000) == 1);
}

void say(BorrowedFd socket, std::string_view text) {
    REQUIRE(send(socket.number(), text.data(), text.size(), 0) ==
            static_cast<ssize_t>(text.size()));
}

std::string hear(BorrowedFd socket) {
    wait_until_readable(socket);
    std::array<char, 4096> buffer;
    const ssize_t size = recv(socket.number(), buffer.data(), buffer.size(), 0);
    REQUIRE(size >= 0);
    return {buffer.data(), static_cast<size_t>(size)};
}

// A relay between a client and a backend, whose other ends the test has.
struct Relayed {
    test::TcpPair client = tcp_pair(), backend = tcp_pair();
    std::array<uint8_t, 16384> buffer;
    PipePool pipes{4, 4, 65536};
    Relay relay;

    Relay::State advance() {
        return relay.advance({pipes, buffer}, client.accepted, backend.client);
    }
    Relay::State advance_with_edges(Side side, uint32_t events) {
        relay.on_events(side, events);
        return advance();
    }
};

}  // namespace

TEST_CASE("relay: bytes go both ways and are counted", "[relay]") {
    Relayed ends;
    say(ends.client.client, "question");
    wait_until_readable(ends.client.accepted);
    CHECK(ends.advance() == Relay::State::Going);
    CHECK(hear(ends.backend.accepted) == "question");
    say(ends.backend.accepted, "answer");
    wait_until_readable(ends.backend.client);
    CHECK(ends.advance_with_edges(Side::Backend, AllEdges) == Relay::State::Going);
    CHECK(hear(ends.client.client) == "answer");
    CHECK(ends.relay.to_backend().bytes() == 8);
    CHECK(ends.relay.to_client().bytes() == 6);
    CHECK_FALSE(ends.relay.is_half_closed());
}

TEST_CASE("relay: ends when both sides have, and knows who was first", "[relay]") {
    Relayed ends;
    shutdown(ends.backend.accepted.borrow().number(), SHUT_WR);
    wait_until_readable(ends.backend.client);
    CHECK(ends.advance_with_edges(Side::Backend, AllEdges | EPOLLRDHUP) == Relay::State::Going);
    CHECK(ends.relay.is_half_closed());
    CHECK(hear(ends.client.client).empty());
    shutdown(ends.client.client.borrow().number(), SHUT_WR);
    wait_until_readable(ends.client.accepted);
    CHECK(ends.advance_with_edges(Side::Client, AllEdges | EPOLLRDHUP) == Relay::State::Ended);
    CHECK(ends.relay.first_to_end() == Side::Backend);
}

TEST_CASE("relay: holds no pipe when nothing is on its way", "[relay]") {
    Relayed ends;
    const std::string much(200'000, 'x');
    for (int i = 0; i < 3; i++) {
        say(ends.client.client, much);
        wait_until_readable(ends.client.accepted);
        ends.advance_with_edges(Side::Client, AllEdges);
    }
    CHECK(ends.relay.to_backend().bytes() > 16384);
    CHECK_FALSE(ends.relay.to_backend().holds_bytes());
    const auto with_pipe = test::open_fds().size();
    ends.pipes.trim(0);
    CHECK(test::open_fds().size() < with_pipe);
    CHECK(ends.pipes.open_count() == 0);
}

TEST_CASE("relay: a reader that has stalled costs a pipe, and gives it back", "[relay]") {
    Relayed ends;
    ends.relay.on_events(Side::Client, AllEdges);
    const std::string block(65536, 'x');
    const int writer = ends.backend.accepted.borrow().number();
    while (!ends.relay.to_client().holds_bytes()) {
        while (send(writer, block.data(), block.size(), MSG_DONTWAIT) > 0) {
        }
        ends.advance_with_edges(Side::Backend, AllEdges);
    }
    CHECK(ends.pipes.open_count() == 1);
    ends.relay.abandon(ends.pipes);
    ends.pipes.trim(0);
    CHECK(ends.pipes.open_count() == 0);
}

TEST_CASE("relay: a reset is told, with the side that it came from", "[relay]") {
    Relayed ends;
    const linger at_once{1, 0};
    setsockopt(ends.backend.accepted.borrow().number(), SOL_SOCKET, SO_LINGER, &at_once,
               sizeof(at_once));
    ends.backend.accepted.close();
    wait_until_readable(ends.backend.client);
    CHECK(ends.advance_with_edges(Side::Backend, AllEdges | EPOLLERR | EPOLLHUP) ==
          Relay::State::Broken);
    CHECK(ends.relay.broken_side() == Side::Backend);
    CHECK(ends.relay.error() == ECONNRESET);
}

TEST_CASE("relay: last words and the end behind them go on together", "[relay]") {
    Relayed ends;
    say(ends.backend.accepted, "last words");
    shutdown(ends.backend.accepted.borrow().number(), SHUT_WR);
    pollfd query{ends.backend.client.borrow().number(), POLLRDHUP, 0};
    REQUIRE(poll(&query, 1, 30'000) == 1);
    ends.advance_with_edges(Side::Backend, EPOLLIN | EPOLLRDHUP);
    CHECK(ends.relay.to_client().is_over());
    CHECK(hear(ends.client.client) == "last words");
    CHECK(hear(ends.client.client).empty());
}

TEST_CASE("relay: urgent bytes that no event has told of yet stay in their places", "[relay]") {
    Relayed ends;
    const int client = ends.client.client.borrow().number();
    std::string heard;
    const auto relay_what_came = [&] {
        wait_until_readable(ends.client.accepted);
        ends.advance_with_edges(Side::Client, EPOLLIN);
        heard += hear(ends.backend.accepted);
    };
    say(ends.client.client, "a");
    REQUIRE(send(client, "!", 1, MSG_OOB) == 1);  // behind what the first read takes
    relay_what_came();
    CHECK(heard == "a");
    say(ends.client.client, "b");
    relay_what_came();
    CHECK(heard == "a!b");
    REQUIRE(send(client, "?", 1, MSG_OOB) == 1);  // where the next read begins
    say(ends.client.client, "c");
    relay_what_came();
    CHECK(heard == "a!b?c");
}

TEST_CASE("relay: knows who has had no room", "[relay]") {
    Relayed ends;
    CHECK_FALSE(ends.relay.to_client().waits_for_room());
    const std::string block(65536, 'x');
    while (!ends.relay.to_client().waits_for_room()) {
        while (send(ends.backend.accepted.borrow().number(), block.data(), block.size(),
                    MSG_DONTWAIT) > 0) {
        }
        ends.advance_with_edges(Side::Backend, EPOLLIN);
    }
    CHECK_FALSE(ends.relay.to_backend().waits_for_room());
    ends.relay.on_events(Side::Client, EPOLLOUT);
    CHECK_FALSE(ends.relay.to_client().waits_for_room());
    ends.relay.abandon(ends.pipes);
}

TEST_CASE("relay: without pipes bytes are copied", "[relay]") {
    Relayed ends;
    PipePool none(0, 0, 65536);
    const std::string much(100'000, 'y');
    say(ends.client.client, much);
    wait_until_readable(ends.client.accepted);
    ends.relay.on_events(Side::Client, AllEdges);
    ends.relay.on_events(Side::Backend, EPOLLOUT);
    std::string heard;
    while (heard.size() < much.size()) {
        ends.relay.on_events(Side::Client, AllEdges);
        ends.relay.advance({none, ends.buffer}, ends.client.accepted, ends.backend.client);
        heard += hear(ends.backend.accepted);
    }
    CHECK(heard == much);
}
