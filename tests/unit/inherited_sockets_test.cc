// SPDX-License-Identifier: MIT
#include "proxyd/inherited_sockets.h"

#include "tests/support/fd_census.h"
#include "tests/support/tcp_pair.h"
#include "tests/unit/catch.h"

#include <string>
#include <vector>

namespace proxyd {
namespace {

SocketAddress address(std::string_view host, uint16_t port) {
    return *SocketAddress::parse_host(host, port);
}

const SocketAddress AnyIpv4 = address("0.0.0.0", 443), AnyIpv6 = address("::", 443),
                    Local = address("127.0.0.1", 8080), Example = address("192.0.2.1", 443);

// What "listen": [":443", "127.0.0.1:8080"] gives.
Configuration configuration() {
    Configuration made;
    made.file = "proxyd.json";
    made.listeners.resize(2);
    made.listeners[0].addresses = {AnyIpv4, AnyIpv6};
    made.listeners[1].addresses = {Local};
    return made;
}

ListeningAddresses passed(const std::vector<SocketAddress>& addresses) {
    std::vector<InheritedSocket> sockets;
    for (const SocketAddress& one : addresses)
        sockets.push_back({test::tcp_listener(), one, "proxyd.socket"});
    return listening_addresses_of(std::move(sockets));
}

using Errors = std::vector<std::string>;

TEST_CASE("sockets with the same address are one address for several workers",
          "[inherited_sockets]") {
    const auto before = test::open_fds();
    {
        const ListeningAddresses addresses = passed({Local, AnyIpv6, Local});
        REQUIRE(addresses.size() == 2);
        CHECK(addresses[0].requested == Local);
        CHECK(addresses[0].address == Local);
        CHECK(addresses[0].sockets.size() == 2);
        CHECK(addresses[0].is_listening);
        CHECK(addresses[0].is_passed);
        CHECK(addresses[1].requested == AnyIpv6);
        CHECK(addresses[1].sockets.size() == 1);
    }
    CHECK(test::open_fds() == before);
}

TEST_CASE("sockets that listeners name are right", "[inherited_sockets]") {
    CHECK(match_inherited_sockets({}, configuration()) == Errors{});
    CHECK(match_inherited_sockets(passed({AnyIpv4}), configuration()) == Errors{});
    CHECK(match_inherited_sockets(passed({Local, AnyIpv6, AnyIpv4}), configuration()) == Errors{});
}

TEST_CASE("says which listener to add for a socket that none names", "[inherited_sockets]") {
    CHECK(match_inherited_sockets(passed({Example, Local, address("::1", 443), Example}),
                                  configuration()) ==
          Errors{"proxyd.json: listen: the service manager passed a socket for 192.0.2.1:443, "
                 "which no listener names: add \"192.0.2.1:443\", or remove "
                 "ListenStream=192.0.2.1:443 from the socket unit",
                 "proxyd.json: listen: the service manager passed a socket for [::1]:443, which "
                 "no listener names: add \"[::1]:443\", or remove ListenStream=[::1]:443 from the "
                 "socket unit"});
}

TEST_CASE("a listener on all addresses names none of them alone", "[inherited_sockets]") {
    CHECK(match_inherited_sockets(passed({Example}), configuration()).size() == 1);
    CHECK(match_inherited_sockets(passed({address("0.0.0.0", 444)}), configuration()).size() == 1);
}

TEST_CASE("what proxyd has bound itself may go", "[inherited_sockets]") {
    ListeningAddresses own = passed({Example});
    own[0].is_passed = false;
    CHECK(match_inherited_sockets(own, configuration()) == Errors{});
}

}  // namespace
}  // namespace proxyd
