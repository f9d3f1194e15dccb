// SPDX-License-Identifier: MIT
#include "proxyd/listening_sockets.h"

#include "tests/support/fd_census.h"
#include "tests/unit/catch.h"

#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <set>

using namespace proxyd;

namespace {

Configuration configured(std::string_view listen, size_t workers,
                         std::string_view routes = R"({"*": "/run/site"})") {
    const auto configuration = parse_configuration(
        fmt::format(R"({{"listen": {}, "routes": {}, "workers": {}}})", listen, routes, workers),
        "FILE");
    REQUIRE(configuration.has_value());
    return *configuration;
}

ListeningAddresses bound(const Configuration& configuration, ListeningAddresses kept = {}) {
    std::vector<std::string> problems;
    ListeningAddresses all = bind_listening_sockets(configuration, std::move(kept), problems);
    CHECK(problems.empty());
    return all;
}

std::set<ino_t> inodes_of(const ListeningAddresses& addresses) {
    std::set<ino_t> inodes;
    for (const ListeningAddress& listening : addresses)
        for (const SharedSocket& socket : listening.sockets)
            inodes.insert(test::inode_of(*socket));
    return inodes;
}

int option_of(const SharedSocket& socket, int level, int name) {
    int value = -1;
    socklen_t size = sizeof(value);
    REQUIRE(getsockopt(socket->borrow().number(), level, name, &value, &size) == 0);
    return value;
}

std::string text_of(const SocketAddress& address) {
    SocketAddress::Text text;
    return std::string(address.format(text));
}

constexpr std::string_view Any = R"(["127.0.0.1:0"])";

}  // namespace

TEST_CASE("listening_sockets: each worker has one, all at the same address",
          "[listening_sockets]") {
    const auto before = test::open_fds();
    {
        const ListeningAddresses addresses = bound(configured(Any, 3));
        REQUIRE(addresses.size() == 1);
        CHECK(addresses[0].requested.port() == 0);
        CHECK(addresses[0].address.port() != 0);
        CHECK_FALSE(addresses[0].is_listening);
        REQUIRE(addresses[0].sockets.size() == 3);
        CHECK(inodes_of(addresses).size() == 3);
        for (const SharedSocket& socket : addresses[0].sockets) {
            CHECK(*SocketAddress::local_of(*socket) == addresses[0].address);
            CHECK(option_of(socket, SOL_SOCKET, SO_REUSEPORT) == 1);
            CHECK(test::is_close_on_exec(*socket));
            CHECK_FALSE(test::is_blocking(*socket));
        }
    }
    CHECK(test::open_fds() == before);
}

TEST_CASE("listening_sockets: what is there is kept, what is missing is added",
          "[listening_sockets]") {
    const ListeningAddresses two = bound(configured(Any, 2));
    const ListeningAddresses four = bound(configured(Any, 4), two);
    CHECK(four.at(0).sockets.size() == 4);
    CHECK(four[0].sockets[0] == two[0].sockets[0]);
    CHECK(four[0].sockets[1] == two[0].sockets[1]);
    CHECK(four[0].address == two[0].address);

    // Fewer workers share what there is: their backlogs hold clients.
    const ListeningAddresses one = bound(configured(Any, 1), four);
    CHECK(one.at(0).sockets == four[0].sockets);
}

TEST_CASE("listening_sockets: two of port 0 are two ports, and stay the same two",
          "[listening_sockets]") {
    const Configuration configuration = configured(R"(["127.0.0.1:0", "127.0.0.1:0"])", 1);
    const ListeningAddresses first = bound(configuration);
    REQUIRE(first.size() == 2);
    CHECK(first[0].address.port() != first[1].address.port());
    const ListeningAddresses again = bound(configuration, first);
    REQUIRE(again.size() == 2);
    CHECK(again[0].sockets == first[0].sockets);
    CHECK(again[1].sockets == first[1].sockets);
}

TEST_CASE("listening_sockets: an address belongs to its listener, in whatever order they come",
          "[listening_sockets]") {
    const ListeningAddresses first = bound(configured(R"(["127.0.0.1:0", "127.0.0.2:0"])", 1));
    const ListeningAddresses turned =
        bound(configured(R"(["127.0.0.2:0", "127.0.0.3:0", "127.0.0.1:0"])", 1), first);
    REQUIRE(turned.size() == 3);
    CHECK(turned[0].sockets == first[1].sockets);
    CHECK(turned[2].sockets == first[0].sockets);
    for (size_t i = 0; i < 3; i++)
        CHECK(turned[i].listener == i);
}

TEST_CASE("listening_sockets: each address that can't be had is named, and nothing is left",
          "[listening_sockets]") {
    ListeningAddresses holder = bound(configured(Any, 2));
    REQUIRE(start_listening(configured(Any, 2), holder).has_value());
    const std::string taken = text_of(holder[0].address);
    const auto before = test::open_fds();
    std::vector<std::string> problems;
    const Configuration configuration =
        configured(fmt::format(R"(["127.0.0.1:0", "{}", "192.0.2.1:80"])", taken), 2);
    bind_listening_sockets(configuration, {}, problems);
    CHECK(problems ==
          std::vector<std::string>{
              fmt::format("FILE:1: listen[1]: cannot listen on {}: Address already in use (ss "
                          "-ltnp tells by whom)",
                          taken),
              "FILE:1: listen[2]: cannot listen on 192.0.2.1:80: Cannot assign requested address"});
    CHECK(test::open_fds() == before);
}

TEST_CASE("listening_sockets: sockets of the service manager are taken as they are",
          "[listening_sockets]") {
    ListeningAddresses passed = bound(configured(Any, 1));
    passed[0].is_passed = passed[0].is_listening = true;
    const auto inodes = inodes_of(passed);
    const ListeningAddresses all = bound(configured(Any, 4), std::move(passed));
    REQUIRE(all.size() == 1);
    CHECK(inodes_of(all) == inodes);
}

TEST_CASE("listening_sockets: the hello is waited for, unless somebody may be silent",
          "[listening_sockets]") {
    const Configuration usual = configured(Any, 2);
    ListeningAddresses addresses = bound(usual);
    REQUIRE(start_listening(usual, addresses).has_value());
    CHECK(addresses[0].is_listening);
    for (const SharedSocket& socket : addresses[0].sockets) {
        CHECK(option_of(socket, SOL_SOCKET, SO_ACCEPTCONN) == 1);
        CHECK(option_of(socket, IPPROTO_TCP, TCP_DEFER_ACCEPT) > 0);
    }
    const Configuration silent = configured(Any, 2, R"({"*": "/run/site", "@silent": "/run/s"})");
    addresses = bound(silent, addresses);
    REQUIRE(start_listening(silent, addresses).has_value());
    for (const SharedSocket& socket : addresses[0].sockets)
        CHECK(option_of(socket, IPPROTO_TCP, TCP_DEFER_ACCEPT) == 0);
}
