// SPDX-License-Identifier: MIT
#include "tcpshim/active_check.h"

#include "tests/support/fd_census.h"
#include "tests/support/loop_runner.h"
#include "tests/support/tcp_pair.h"
#include "tests/unit/catch.h"

#include <memory>
#include <string>

using namespace proxyd;
using namespace proxyd::shim;
using namespace std::chrono_literals;

namespace {

using State = RiseAndFall::State;

CheckConfiguration settings(CheckKind kind, Milliseconds interval, Milliseconds timeout = 2s) {
    CheckConfiguration check;
    check.kind = kind;
    check.interval = interval;
    check.timeout = timeout;
    return check;
}

// One check of a backend on loopback, and what it has said.
struct Checked final : ActiveCheck::Owner {
    explicit Checked(CheckConfiguration configuration, uint16_t port)
        : configured(std::move(configuration)),
          address(std::make_shared<HostAddresses>(
                      std::vector{*SocketAddress::parse_host("127.0.0.1", 0)}),
                  0),
          check(loop, poll, configured, ProxyProtocolVersion::None, "127.0.0.1", address, port,
                static_cast<ActiveCheck::Owner&>(*this)) {}

    void on_checked(const CheckVerdict& verdict, bool has_changed) noexcept override {
        said += (said.empty() ? "" : ", ") + verdict.text + (has_changed ? "!" : "");
        count++;
    }

    // The first `checks` verdicts, changes with "!".
    std::string first(size_t checks) {
        check.start();
        CHECK(test::run_until(loop, [&] { return count >= checks; }));
        return said;
    }

    EventLoop loop;
    ConnectPoll poll{loop};
    CheckConfiguration configured;
    BackendAddress address;
    std::string said;
    size_t count = 0;
    ActiveCheck check;
};

uint16_t port_of(const UniqueFd& listener) {
    return SocketAddress::local_of(listener)->port();
}

}  // namespace

TEST_CASE("active check: the first answer counts by itself", "[active_check]") {
    const bool is_good = GENERATE(true, false);
    RiseAndFall count(2, 3);
    CHECK(count.state() == State::Unknown);
    CHECK(count.note(is_good));
    CHECK(count.state() == (is_good ? State::Up : State::Down));
}

TEST_CASE("active check: falls after so many bad answers in a row", "[active_check]") {
    RiseAndFall count(2, 3);
    CHECK(count.note(true));
    CHECK_FALSE(count.note(false));
    CHECK_FALSE(count.note(false));
    CHECK_FALSE(count.note(true));
    CHECK_FALSE(count.note(false));
    CHECK_FALSE(count.note(false));
    CHECK(count.state() == State::Up);
    CHECK(count.note(false));
    CHECK(count.state() == State::Down);
    CHECK_FALSE(count.note(false));
}

TEST_CASE("active check: rises after so many good answers in a row", "[active_check]") {
    RiseAndFall count(2, 3);
    CHECK(count.note(false));
    CHECK_FALSE(count.note(true));
    CHECK_FALSE(count.has_risen());
    CHECK_FALSE(count.note(false));
    CHECK_FALSE(count.note(true));
    CHECK(count.note(true));
    CHECK(count.has_risen());
    CHECK(count.state() == State::Up);
    count.forget_good();
    CHECK_FALSE(count.has_risen());
    CHECK(count.state() == State::Up);
}

TEST_CASE("active check: connects again and again", "[active_check]") {
    const auto before = test::open_fds();
    {
        const UniqueFd listener = test::tcp_listener();
        Checked checked(settings(CheckKind::Connect, 1ms), port_of(listener));
        CHECK(checked.first(3) == "connected!, connected, connected");
    }
    CHECK(test::open_fds() == before);
}

TEST_CASE("active check: a backend that isn't there is down", "[active_check]") {
    const auto before = test::open_fds();
    {
        UniqueFd listener = test::tcp_listener();
        const uint16_t port = port_of(listener);
        listener.close();
        Checked checked(settings(CheckKind::Tls, 1ms), port);
        CHECK(checked.first(2) == "connection refused!, connection refused");
        CHECK(checked.check.last_text() == "connection refused");
    }
    CHECK(test::open_fds() == before);
}

TEST_CASE("active check: a backend that connects and says nothing is down", "[active_check]") {
    const auto before = test::open_fds();
    {
        const UniqueFd listener = test::tcp_listener();
        Checked checked(settings(CheckKind::Http, 1ms, 20ms), port_of(listener));
        CHECK(checked.first(1) == "no answer in time!");
    }
    CHECK(test::open_fds() == before);
}

TEST_CASE("active check: a backend that closes is down", "[active_check]") {
    const UniqueFd listener = test::tcp_listener();
    Checked checked(settings(CheckKind::Tls, 10s), port_of(listener));
    checked.check.start();
    UniqueFd::adopt(accept4(listener.borrow().number(), nullptr, nullptr, SOCK_CLOEXEC)).close();
    CHECK(test::run_until(checked.loop, [&] { return checked.count > 0; }));
    CHECK(checked.said == "closed without an answer!");
}

TEST_CASE("active check: an answer may come in pieces", "[active_check]") {
    const UniqueFd listener = test::tcp_listener();
    Checked checked(settings(CheckKind::Http, 10s), port_of(listener));
    checked.check.start();
    const UniqueFd server =
        UniqueFd::adopt(accept4(listener.borrow().number(), nullptr, nullptr, SOCK_CLOEXEC));
    const std::string answer = "HTTP/1.1 503 Service Unavailable\r\n\r\n";
    for (size_t i = 0; i < answer.size() && checked.count == 0; i++) {
        CHECK(send(server.borrow().number(), &answer[i], 1, MSG_NOSIGNAL) == 1);
        ev_run(checked.loop.libev(), EVRUN_NOWAIT);
    }
    CHECK(test::run_until(checked.loop, [&] { return checked.count > 0; }));
    CHECK(checked.said == "HTTP 503!");
}
