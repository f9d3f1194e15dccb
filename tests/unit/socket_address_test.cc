// SPDX-License-Identifier: MIT
#include "base/posix/socket_address.h"

#include "tests/support/fd_census.h"
#include "tests/support/tcp_pair.h"
#include "tests/unit/catch.h"

#include <arpa/inet.h>

#include <string>

namespace proxyd {
namespace {

SocketAddress address(std::string_view host, uint16_t port) {
    return *SocketAddress::parse_host(host, port);
}

std::string formatted(const SocketAddress& address) {
    SocketAddress::Text text;
    return std::string(address.format(text));
}

SocketAddress with_scope(std::string_view host, uint16_t port, uint32_t scope_id) {
    return SocketAddress::from_ipv6(address(host, port).ipv6(), port, scope_id);
}

TEST_CASE("writes addresses as people do", "[socket_address]") {
    CHECK(formatted(address("192.0.2.1", 443)) == "192.0.2.1:443");
    CHECK(formatted(address("2001:DB8:0::1", 443)) == "[2001:db8::1]:443");
    CHECK(formatted(address("::", 0)) == "[::]:0");
    CHECK(formatted(with_scope("fe80::1", 443, 2)) == "[fe80::1%2]:443");
    CHECK(formatted(SocketAddress()) == "-");
}

TEST_CASE("the longest address fits its text", "[socket_address]") {
    CHECK(formatted(with_scope("1111:2222:3333:4444:5555:6666:7777:8888", 65535, UINT32_MAX)) ==
          "[1111:2222:3333:4444:5555:6666:7777:8888%4294967295]:65535");
    CHECK(formatted(address("255.255.255.255", 65535)) == "255.255.255.255:65535");
}

TEST_CASE("reads hosts that are addresses, and nothing else", "[socket_address]") {
    CHECK(address("192.0.2.1", 7).family() == AF_INET);
    CHECK(address("192.0.2.1", 7).port() == 7);
    CHECK(address("::ffff:192.0.2.1", 7).family() == AF_INET6);
    for (const char* text : {"", "example.org", "192.0.2", "192.0.2.256", "192.0.2.1 ", "[::1]",
                             "::1%lo", "192.0.2.1:80", "1:2:3:4:5:6:7:8:9"}) {
        CAPTURE(text);
        CHECK_FALSE(SocketAddress::parse_host(text, 0));
    }
    CHECK_FALSE(SocketAddress::parse_host(std::string_view("::1\0", 4), 0));
    CHECK_FALSE(SocketAddress::parse_host(std::string(100, '1'), 0));
}

TEST_CASE("knows no address from an address", "[socket_address]") {
    CHECK_FALSE(SocketAddress().has_address());
    CHECK(SocketAddress().family() == AF_UNSPEC);
    CHECK(SocketAddress().port() == 0);
    CHECK_FALSE(SocketAddress().is_wildcard());
    CHECK(address("0.0.0.0", 1).has_address());
}

TEST_CASE("knows the wildcards", "[socket_address]") {
    CHECK(address("0.0.0.0", 443).is_wildcard());
    CHECK(address("::", 443).is_wildcard());
    CHECK_FALSE(address("0.0.0.1", 443).is_wildcard());
    CHECK_FALSE(address("::1", 443).is_wildcard());
}

TEST_CASE("maps IPv4 into IPv6 with its port, and leaves IPv6 alone", "[socket_address]") {
    CHECK(address("192.0.2.1", 443).as_v4_mapped() == address("::ffff:192.0.2.1", 443));
    CHECK(address("2001:db8::1", 443).as_v4_mapped() == address("2001:db8::1", 443));
    CHECK(SocketAddress().as_v4_mapped() == SocketAddress());
}

TEST_CASE("addresses are equal in family, host, port and scope", "[socket_address]") {
    CHECK(address("192.0.2.1", 443) == address("192.0.2.1", 443));
    CHECK_FALSE(address("192.0.2.1", 443) == address("192.0.2.1", 444));
    CHECK_FALSE(address("192.0.2.1", 443) == address("192.0.2.2", 443));
    CHECK_FALSE(address("192.0.2.1", 443) == address("::ffff:192.0.2.1", 443));
    CHECK_FALSE(address("::1", 443) == address("::2", 443));
    CHECK_FALSE(with_scope("fe80::1", 443, 1) == with_scope("fe80::1", 443, 2));
    CHECK(SocketAddress() == SocketAddress());
    CHECK_FALSE(SocketAddress() == address("0.0.0.0", 0));
}

TEST_CASE("takes from the kernel what is long enough and of its families", "[socket_address]") {
    const SocketAddress ipv4 = address("192.0.2.1", 443), ipv6 = address("2001:db8::1", 443);
    CHECK(ipv4.kernel_length() == sizeof(sockaddr_in));
    CHECK(ipv6.kernel_length() == sizeof(sockaddr_in6));
    CHECK(SocketAddress::from_kernel(ipv4.kernel_address(), sizeof(sockaddr_in)) == ipv4);
    CHECK(SocketAddress::from_kernel(ipv6.kernel_address(), sizeof(sockaddr_in6)) == ipv6);
    CHECK_FALSE(
        SocketAddress::from_kernel(ipv4.kernel_address(), sizeof(sockaddr_in) - 1).has_address());
    CHECK_FALSE(
        SocketAddress::from_kernel(ipv6.kernel_address(), sizeof(sockaddr_in6) - 1).has_address());
    CHECK_FALSE(SocketAddress::from_kernel(ipv4.kernel_address(), 0).has_address());
    CHECK_FALSE(SocketAddress::from_kernel(nullptr, sizeof(sockaddr_in)).has_address());
    const sockaddr local{AF_UNIX, {}};
    CHECK_FALSE(SocketAddress::from_kernel(&local, sizeof(local)).has_address());
}

TEST_CASE("asks the kernel for both ends of a connection", "[socket_address]") {
    const auto before = test::open_fds();
    for (const sa_family_t family : {sa_family_t{AF_INET}, sa_family_t{AF_INET6}}) {
        const test::TcpPair pair = test::tcp_pair(family);
        CHECK(*SocketAddress::peer_of(pair.accepted) == *SocketAddress::local_of(pair.client));
        CHECK(*SocketAddress::local_of(pair.accepted) == *SocketAddress::peer_of(pair.client));
        CHECK(SocketAddress::peer_of(pair.client)->family() == family);
    }
    CHECK(test::open_fds() == before);
}

TEST_CASE("tells why the kernel gave no address", "[socket_address]") {
    const UniqueFd listener = test::tcp_listener();
    CHECK(SocketAddress::peer_of(listener).error() == Errno{ENOTCONN});
    CHECK(SocketAddress::local_of(BorrowedFd(-1)).error() == Errno{EBADF});
}

}  // namespace
}  // namespace proxyd
