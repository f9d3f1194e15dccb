// SPDX-License-Identifier: MIT
#include "tcpshim/address_race.h"

#include "tests/support/fd_census.h"
#include "tests/support/loop_runner.h"
#include "tests/support/tcp_pair.h"
#include "tests/unit/catch.h"

#include <fcntl.h>
#include <netinet/tcp.h>

#include <optional>
#include <string>

using namespace proxyd;
using namespace proxyd::shim;

namespace {

SocketAddress address(std::string_view text, uint16_t port = 0) {
    return *SocketAddress::parse_host(text, port);
}

std::vector<SocketAddress> addresses(std::initializer_list<std::string_view> texts) {
    std::vector<SocketAddress> all;
    for (const std::string_view text : texts)
        all.push_back(address(text));
    return all;
}

struct Race final : AddressRace::Owner {
    Race(std::initializer_list<std::string_view> hosts, uint16_t port,
         const SocketAddress& preferred = {}, const SocketAddress* bind_source = nullptr)
        : host(addresses(hosts)) {
        race.emplace(loop, poll, host, port, preferred, bind_source, nullptr,
                     static_cast<AddressRace::Owner&>(*this));
        race->start();
        CHECK(test::run_until(loop, [&] { return !race; }));
    }

    void on_race_won(UniqueFd its_socket, const SocketAddress& winner,
                     bool is_expected) noexcept override {
        socket = std::move(its_socket);
        won = winner;
        was_expected = is_expected;
        race.reset();
    }
    void on_race_lost(ConnectFailure why) noexcept override {
        failure = why;
        race.reset();
    }

    EventLoop loop;
    ConnectPoll poll{loop};
    HostAddresses host;
    std::optional<AddressRace> race;
    UniqueFd socket;
    SocketAddress won;
    bool was_expected = false;
    std::optional<ConnectFailure> failure;
};

uint16_t port_of(const UniqueFd& listener) {
    return SocketAddress::local_of(listener)->port();
}

}  // namespace

TEST_CASE("address race: both families in turn, beginning with IPv6", "[address_race]") {
    const auto ipv6 = addresses({"2001:db8::1", "2001:db8::2"});
    const auto ipv4 = addresses({"192.0.2.1", "192.0.2.2", "192.0.2.3"});
    CHECK(racing_order(ipv6, ipv4, {}) ==
          addresses({"2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "192.0.2.3"}));
    CHECK(racing_order(ipv6, {}, {}) == ipv6);
    CHECK(racing_order({}, ipv4, {}) == ipv4);
    CHECK(racing_order({}, {}, address("192.0.2.1")).empty());
}

TEST_CASE("address race: the preferred address is first, if it is still there", "[address_race]") {
    const auto ipv6 = addresses({"2001:db8::1", "2001:db8::2"});
    const auto ipv4 = addresses({"192.0.2.1"});
    CHECK(racing_order(ipv6, ipv4, address("192.0.2.1")) ==
          addresses({"192.0.2.1", "2001:db8::1", "2001:db8::2"}));
    CHECK(racing_order(ipv6, ipv4, address("192.0.2.9")) ==
          addresses({"2001:db8::1", "192.0.2.1", "2001:db8::2"}));
}

TEST_CASE("address race: gives a socket that is ready for the relay", "[address_race]") {
    const auto before = test::open_fds();
    {
        const UniqueFd listener = test::tcp_listener();
        Race race({"127.0.0.1"}, port_of(listener));
        REQUIRE(race.socket.is_open());
        CHECK(race.won == address("127.0.0.1", port_of(listener)));
        CHECK(race.was_expected);
        CHECK_FALSE(test::is_blocking(race.socket));
        CHECK(test::is_close_on_exec(race.socket));
        CHECK(*SocketAddress::peer_of(race.socket) == race.won);
    }
    CHECK(test::open_fds() == before);
}

TEST_CASE("address race: goes on at once when an address refuses", "[address_race]") {
    const UniqueFd listener = test::tcp_listener();
    // Nothing listens there on IPv6, nor on this address.
    Race race({"127.0.0.2", "::1", "127.0.0.1"}, port_of(listener));
    REQUIRE(race.socket.is_open());
    CHECK(race.won == address("127.0.0.1", port_of(listener)));
    CHECK_FALSE(race.was_expected);
}

TEST_CASE("address race: is lost when all addresses refuse, and when there are none",
          "[address_race]") {
    const auto before = test::open_fds();
    {
        UniqueFd listener = test::tcp_listener();
        const uint16_t port = port_of(listener);
        listener.close();
        CHECK(Race({"127.0.0.1", "::1"}, port).failure == ConnectFailure::Refused);
        CHECK(Race({}, port).failure == ConnectFailure::NotResolved);
    }
    CHECK(test::open_fds() == before);
}

TEST_CASE("address race: tries only addresses of the family that it comes from", "[address_race]") {
    const UniqueFd listener = test::tcp_listener();
    const SocketAddress source = address("::1");
    CHECK(Race({"127.0.0.1"}, port_of(listener), {}, &source).failure ==
          ConnectFailure::Unreachable);
}

TEST_CASE("address race: of several failures the most telling is told", "[address_race]") {
    using enum ConnectFailure;
    CHECK(more_telling(Refused, TimedOut) == Refused);
    CHECK(more_telling(Unreachable, TimedOut) == TimedOut);
    CHECK(more_telling(Local, Unreachable) == Unreachable);
    CHECK(more_telling(Local, Local) == Local);
}
