// SPDX-License-Identifier: MIT
#include "proxyd/inherited_sockets.h"

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
    made.listeners.push_back({.address_text = ":443",
                              .addresses = {AnyIpv4, AnyIpv6},
                              .site = "",
                              .place = "proxyd.json:2: listen[0]"});
    made.listeners.push_back({.address_text = "127.0.0.1:8080",
                              .addresses = {Local},
                              .site = "",
                              .place = "proxyd.json:2: listen[1]"});
    return made;
}

auto match(const std::vector<SocketAddress>& inherited, size_t workers = 2) {
    return match_inherited_sockets(inherited, configuration(), workers);
}

using Matches = std::vector<ConfiguredAddress>;
using Errors = std::vector<std::string>;

TEST_CASE("nothing inherited is nothing matched", "[inherited_sockets]") {
    CHECK(*match({}) == Matches{});
}

TEST_CASE("each inherited socket finds the address that names it", "[inherited_sockets]") {
    CHECK(*match({Local, AnyIpv6, AnyIpv4}) == Matches{{1, 0}, {0, 1}, {0, 0}});
    CHECK(*match({AnyIpv6}) == Matches{{0, 1}});
}

TEST_CASE("sockets with the same address are for several workers", "[inherited_sockets]") {
    CHECK(*match({Local, Local}, 2) == Matches{{1, 0}, {1, 0}});
    CHECK(match({Local, Local, Local}, 2).error() ==
          Errors{"proxyd.json:2: listen[1]: the service manager passed 3 sockets for "
                 "127.0.0.1:8080, and there are 2 workers: want no more than one socket for each "
                 "worker"});
}

TEST_CASE("says which listener to add for a socket that none names", "[inherited_sockets]") {
    CHECK(match({Example, Local, address("::1", 443), Example}).error() ==
          Errors{"proxyd.json: listen: the service manager passed a socket for 192.0.2.1:443, "
                 "which no listener names: add \"192.0.2.1:443\", or remove "
                 "ListenStream=192.0.2.1:443 from the socket unit",
                 "proxyd.json: listen: the service manager passed a socket for [::1]:443, which "
                 "no listener names: add \"[::1]:443\", or remove ListenStream=[::1]:443 from the "
                 "socket unit"});
}

TEST_CASE("a listener on all addresses doesn't name one of them", "[inherited_sockets]") {
    CHECK_FALSE(match({Example}));
    CHECK_FALSE(match({address("0.0.0.0", 444)}));
}

}  // namespace
}  // namespace proxyd
