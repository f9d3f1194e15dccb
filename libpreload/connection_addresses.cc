// SPDX-License-Identifier: MIT
#include "libpreload/connection_addresses.h"

#include "libpreload/guest_config.h"
#include "libpreload/real_calls.h"
#include "libpreload/stated_addresses.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

#include <algorithm>
#include <cstddef>

namespace proxyd {
namespace {

constexpr int MarkBase = 0x70;  // of at most 127 (MAX_TCP_SYNCNT)
constexpr int MappedBit = 1;
constexpr int StatedBit = 2;

// The state of a TCP socket; 0, which is none, for anything else.
int tcp_state_of(int fd) {
    uint8_t state = 0;
    socklen_t length = sizeof(state);
    return real.getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &length) == 0 ? state : 0;
}

// The server's port for this local port of the kernel's, if it is a connection from a handoff.
uint16_t port_told(int fd, uint16_t local_port) {
    const auto server_port = guest_config().server_port_of(local_port);
    if (!server_port || *server_port == local_port) return local_port;
    const int state = tcp_state_of(fd);
    const bool is_connection = state != 0 && state != TCP_LISTEN && state != TCP_CLOSE;
    return is_connection ? *server_port : local_port;
}

SocketAddress with_port(const SocketAddress& address, uint16_t port) {
    if (address.family() == AF_INET) return SocketAddress::from_ipv4(address.ipv4(), port);
    return SocketAddress::from_ipv6(address.ipv6(), port, address.scope_id());
}

// By its length: the family may lie beyond the room that the program gave.
bool may_be_internet(socklen_t length) {
    return length == sizeof(sockaddr_in) || length == sizeof(sockaddr_in6);
}

}  // namespace

ConnectionMark ConnectionMark::of(BorrowedFd connection) {
    int value = 0;
    socklen_t length = sizeof(value);
    if (real.getsockopt(connection.number(), IPPROTO_TCP, TCP_SYNCNT, &value, &length) != 0 ||
        (value & ~(MappedBit | StatedBit)) != MarkBase)
        return {};
    return {(value & MappedBit) != 0, (value & StatedBit) != 0};
}

void ConnectionMark::put_on(BorrowedFd connection) const {
    const int saved_errno = errno;
    const int value = MarkBase | (is_mapped ? MappedBit : 0) | (is_stated ? StatedBit : 0);
    real.setsockopt(connection.number(), IPPROTO_TCP, TCP_SYNCNT, &value, sizeof(value));
    errno = saved_errno;
}

void tell_peer(int fd, sockaddr* address, socklen_t room, socklen_t* length) {
    if (!may_be_internet(*length)) return;
    const int saved_errno = errno;
    const BorrowedFd connection(fd);
    const ConnectionMark mark = ConnectionMark::of(connection);
    const auto stated = mark.is_stated ? stated_address_of(connection) : std::nullopt;
    if (stated) {
        write_address(*stated, address, room, length);
    } else if (mark.is_mapped) {
        const auto peer = SocketAddress::peer_of(connection);
        if (peer) write_address(peer->as_v4_mapped(), address, room, length);
    }
    errno = saved_errno;
}

void tell_local(int fd, sockaddr* address, socklen_t room, socklen_t* length) {
    if (!may_be_internet(*length)) return;
    const int saved_errno = errno;
    const BorrowedFd connection(fd);
    SocketAddress local = SocketAddress::from_kernel(address, std::min(room, *length));
    if (room < *length) {
        const auto whole = SocketAddress::local_of(connection);
        local = whole ? *whole : SocketAddress();
    }
    if (local.has_address()) {
        SocketAddress told = with_port(local, port_told(fd, local.port()));
        if (told.family() == AF_INET && ConnectionMark::of(connection).is_mapped)
            told = told.as_v4_mapped();
        if (!(told == local)) write_address(told, address, room, length);
    }
    errno = saved_errno;
}

void write_address(const SocketAddress& told, sockaddr* address, socklen_t room,
                   socklen_t* length) {
    memcpy(address, told.kernel_address(), std::min(room, told.kernel_length()));
    *length = told.kernel_length();
}

}  // namespace proxyd
