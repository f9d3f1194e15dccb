// SPDX-License-Identifier: MIT
#include "tcpshim/resolver.h"

#include "tests/support/fd_census.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/catch.h"

#include <fstream>

using namespace proxyd;
using namespace proxyd::shim;
using namespace std::chrono_literals;

namespace {

SocketAddress address(std::string_view text) {
    return *SocketAddress::parse_host(text, 0);
}

std::vector<SocketAddress> all_of(const HostAddresses& host) {
    std::vector<SocketAddress> all(host.ipv6().begin(), host.ipv6().end());
    all.insert(all.end(), host.ipv4().begin(), host.ipv4().end());
    return all;
}

}  // namespace

TEST_CASE("resolver: addresses, the hosts file and localhost need no name server", "[resolver]") {
    const auto before = test::open_fds();
    {
        const test::TemporaryDirectory directory;
        const std::string hosts = directory.path() / "hosts";
        std::ofstream(hosts) << "192.0.2.1 nas.lan\n2001:db8::1 NAS.lan\n";
        EventLoop loop;
        const auto resolver = Resolver::create(loop, {}, hosts.c_str());
        REQUIRE(resolver);
        Resolver& known = **resolver;
        CHECK(all_of(*known.host("192.0.2.9")) == std::vector{address("192.0.2.9")});
        CHECK(all_of(*known.host("2001:db8::9")) == std::vector{address("2001:db8::9")});
        CHECK(all_of(*known.host("Nas.LAN")) ==
              std::vector{address("2001:db8::1"), address("192.0.2.1")});
        const std::vector loopback{address("::1"), address("127.0.0.1")};
        CHECK(all_of(*known.host("localhost")) == loopback);
        CHECK(all_of(*known.host("app.localhost")) == loopback);
        CHECK_FALSE(known.host("nas.lan")->is_asking());
        CHECK(known.host("nas.lan")->is_settled());
    }
    CHECK(test::open_fds() == before);
}

TEST_CASE("resolver: a host is one object for all who ask, as long as somebody has it",
          "[resolver]") {
    EventLoop loop;
    const auto resolver = Resolver::create(loop, {"127.0.0.1:9"}, "/nonexistent");
    REQUIRE(resolver);
    auto host = (*resolver)->host("nas.lan");
    CHECK((*resolver)->host("NAS.lan") == host);
    CHECK(host->is_asking());
    CHECK_FALSE(host->is_settled());
    const std::weak_ptr<HostAddresses> watch = host;
    host.reset();
    CHECK(watch.expired());
}

TEST_CASE("resolver: says which resolvers it can't use", "[resolver]") {
    EventLoop loop;
    const auto resolver = Resolver::create(loop, {"192.0.2.53", "nonsense"});
    REQUIRE_FALSE(resolver);
    CHECK(resolver.error() ==
          "\"192.0.2.53,nonsense\" can't be used as resolvers: Misformatted string");
}

TEST_CASE("resolver: takes name servers of both families, with and without port", "[resolver]") {
    EventLoop loop;
    CHECK(Resolver::create(
        loop, {"192.0.2.53", "192.0.2.53:5353", "2001:db8::53", "[2001:db8::53]:5353"}));
}

TEST_CASE("resolver: an answer is good for a second at least and an hour at most", "[resolver]") {
    CHECK(bounded_ttl(0) == 1s);
    CHECK(bounded_ttl(1) == 1s);
    CHECK(bounded_ttl(2) == 2s);
    CHECK(bounded_ttl(3'600) == 1h);
    CHECK(bounded_ttl(3'601) == 1h);
    CHECK(bounded_ttl(0x7fffffff) == 1h);
}
