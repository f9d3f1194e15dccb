// SPDX-License-Identifier: MIT
#include "base/handoff/listener_state.h"

#include "tests/support/fd_census.h"
#include "tests/unit/catch.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace proxyd {
namespace {

UniqueFd datagram_socket() {
    return UniqueFd::adopt(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

ListenerState state_of(std::string_view label) {
    ListenerState state;
    state.label = *InstanceLabel::parse(label);
    return state;
}

void check_same(const ListenerState& a, const ListenerState& b) {
    CHECK(a.label.address == b.label.address);
    CHECK(a.label.is_ipv6_only == b.label.is_ipv6_only);
    CHECK(a.label.index == b.label.index);
    CHECK(a.claimant == b.claimant);
    CHECK(a.claimant_start == b.claimant_start);
    CHECK(a.is_listening == b.is_listening);
    CHECK(a.reuses_port == b.reuses_port);
    CHECK(a.native_options == b.native_options);
    CHECK(a.congestion == b.congestion);
    REQUIRE(a.kept_count == b.kept_count);
    for (size_t i = 0; i < a.kept_count; i++) {
        CHECK(a.kept_options[i].level == b.kept_options[i].level);
        CHECK(a.kept_options[i].option == b.kept_options[i].option);
        CHECK(a.kept_options[i].value == b.kept_options[i].value);
    }
}

TEST_CASE("a socket gives back the state that was put into it", "[listener_state]") {
    for (const char* label : {"4-7f000001-8443-0", "4-any-1-9999", "6-any-65535-3", "d-any-443-0",
                              "6-20010db8000000000000000000000001-443-12"}) {
        CAPTURE(label);
        const UniqueFd socket = datagram_socket();
        const ListenerState state = state_of(label);
        REQUIRE(state.store_in(socket));
        const auto found = ListenerState::of(socket);
        REQUIRE(found);
        check_same(*found, state);
    }
}

TEST_CASE("every field comes back, and as many options as there is room for", "[listener_state]") {
    ListenerState state = state_of("d-any-443-0");
    state.label.address = SocketAddress::from_ipv6(in6addr_loopback, 443, 7);
    state.claimant = getpid();
    state.claimant_start = ListenerState::start_of(getpid());
    CHECK(state.claimant_start != 0);
    state.is_listening = state.reuses_port = true;
    state.native_options = 0x80000001;
    strcpy(state.congestion.data(), "fifteen letters");
    for (size_t i = 0; i < ListenerState::KeptOptionsMax; i++)
        REQUIRE(state.keep(IPPROTO_IPV6, static_cast<int>(i), -static_cast<int>(i)));
    CHECK_FALSE(state.keep(IPPROTO_IPV6, 1000, 1));
    const UniqueFd socket = datagram_socket();
    REQUIRE(state.store_in(socket));
    check_same(*ListenerState::of(socket), state);
}

TEST_CASE("an option that is kept again has its new value", "[listener_state]") {
    ListenerState state = state_of("4-any-443-0");
    CHECK(state.find(IPPROTO_TCP, TCP_NODELAY) == nullptr);
    REQUIRE(state.keep(IPPROTO_TCP, TCP_NODELAY, 1));
    REQUIRE(state.keep(IPPROTO_IP, TCP_NODELAY, 5));
    REQUIRE(state.keep(IPPROTO_TCP, TCP_NODELAY, 0));
    CHECK(state.kept_count == 2);
    CHECK(state.find(IPPROTO_TCP, TCP_NODELAY)->value == 0);
}

TEST_CASE("other sockets have no state, and asking changes nothing", "[listener_state]") {
    const auto before = test::open_fds();
    {
        const UniqueFd plain = datagram_socket();
        const UniqueFd filtered = datagram_socket();
        sock_filter program[] = {BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
                                 BPF_STMT(BPF_LD | BPF_IMM, 1),
                                 BPF_STMT(BPF_RET | BPF_K, 0xffffffff)};
        const sock_fprog filter = {3, program};
        REQUIRE(setsockopt(filtered.borrow().number(), SOL_SOCKET, SO_ATTACH_FILTER, &filter,
                           sizeof(filter)) == 0);
        errno = 77;
        CHECK_FALSE(ListenerState::of(plain));
        CHECK_FALSE(ListenerState::of(filtered));
        CHECK_FALSE(ListenerState::of(BorrowedFd(-1)));
        CHECK(errno == 77);
        CHECK_FALSE(state_of("4-any-443-0").store_in(BorrowedFd(-1)));
        CHECK(errno == 77);
    }
    CHECK(test::open_fds() == before);
}

TEST_CASE("datagrams pass a socket that has a state", "[listener_state]") {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) == 0);
    const UniqueFd receiver = UniqueFd::adopt(ends[0]), sender = UniqueFd::adopt(ends[1]);
    REQUIRE(state_of("4-any-443-0").store_in(receiver));
    char text[8] = "";
    REQUIRE(send(sender.borrow().number(), "client", 6, 0) == 6);
    CHECK(recv(receiver.borrow().number(), text, sizeof(text), 0) == 6);
    CHECK(std::string_view(text) == "client");
}

}  // namespace
}  // namespace proxyd
