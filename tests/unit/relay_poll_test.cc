// SPDX-License-Identifier: MIT
#include "tcpshim/relay_poll.h"

#include "tests/support/loop_runner.h"
#include "tests/support/tcp_pair.h"
#include "tests/unit/catch.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <string>
#include <vector>

using namespace proxyd;
using namespace proxyd::shim;
using proxyd::test::tcp_pair;

namespace {

struct Told final : RelayPoll::Handler {
    void on_socket_events(Side side, uint32_t epoll_events) noexcept override {
        events += side == Side::Client ? "client" : "backend";
        if ((epoll_events & EPOLLIN) != 0) events += " input";
        if ((epoll_events & EPOLLOUT) != 0) events += " room";
        events += "; ";
    }
    void on_turn() noexcept override { events += "turn; "; }

    std::string events;
};

void say(BorrowedFd socket) {
    REQUIRE(send(socket.number(), "x", 1, 0) == 1);
}

UniqueFd duplicate(BorrowedFd socket) {
    return UniqueFd::adopt(fcntl(socket.number(), F_DUPFD_CLOEXEC, 3));
}

// Until the other one has been told, so that nothing else is to come.
void run_until_told(EventLoop& loop, RelayPoll& poll) {
    Told last;
    auto pair = tcp_pair();
    REQUIRE(poll.add(pair.accepted, last, Side::Client));
    say(pair.client);
    CHECK(test::run_until(loop, [&] { return !last.events.empty(); }));
    poll.forget(last);
}

}  // namespace

TEST_CASE("relay poll: tells of input, and of room only if it is asked to", "[relay_poll]") {
    EventLoop loop;
    RelayPoll poll(loop);
    auto client = tcp_pair(), backend = tcp_pair();
    Told told;
    REQUIRE(poll.add(client.accepted, told, Side::Client));
    REQUIRE(poll.add(backend.client, told, Side::Backend));
    run_until_told(loop, poll);
    CHECK(told.events.empty());
    say(backend.accepted);
    run_until_told(loop, poll);
    CHECK(told.events == "backend input; ");
    told.events.clear();
    poll.add_room(client.accepted, told, Side::Client);
    run_until_told(loop, poll);
    CHECK(told.events == "client room; ");
    poll.forget(told);
}

TEST_CASE("relay poll: a turn comes after what is there already", "[relay_poll]") {
    EventLoop loop;
    RelayPoll poll(loop);
    auto client = tcp_pair();
    say(client.client);
    Told told, other;
    REQUIRE(poll.add(client.accepted, told, Side::Client));
    poll.call_soon(told);
    poll.call_soon(other);
    poll.forget(other);
    CHECK(test::run_until(loop, [&] { return told.events.find("turn") != told.events.npos; }));
    CHECK(told.events == "client input; turn; ");
    CHECK(other.events.empty());
    poll.forget(told);
}

TEST_CASE("relay poll: what somebody else has open still tells nobody", "[relay_poll]") {
    EventLoop loop;
    RelayPoll poll(loop);
    auto client = tcp_pair();
    const UniqueFd elsewhere = duplicate(client.accepted);
    Told gone, successor;
    REQUIRE(poll.add(client.accepted, gone, Side::Client));
    poll.forget(gone);
    client.accepted.close();
    auto next = tcp_pair();
    REQUIRE(poll.add(next.accepted, successor, Side::Client));  // takes the place in the table
    say(client.client);
    run_until_told(loop, poll);
    CHECK(gone.events.empty());
    CHECK(successor.events.empty());
    poll.forget(successor);
}

TEST_CASE("relay poll: a socket that comes again under its number belongs to the new one",
          "[relay_poll]") {
    EventLoop loop;
    RelayPoll poll(loop);
    auto client = tcp_pair();
    const UniqueFd elsewhere = duplicate(client.accepted);
    const int number = client.accepted.borrow().number();
    Told gone, again;
    REQUIRE(poll.add(client.accepted, gone, Side::Client));
    poll.forget(gone);
    client.accepted.close();
    REQUIRE(fcntl(elsewhere.borrow().number(), F_DUPFD_CLOEXEC, number) == number);
    const UniqueFd same = UniqueFd::adopt(number);
    REQUIRE(poll.add(same, again, Side::Client));
    say(client.client);
    run_until_told(loop, poll);
    CHECK(gone.events.empty());
    CHECK(again.events == "client input; ");
    poll.forget(again);
}
