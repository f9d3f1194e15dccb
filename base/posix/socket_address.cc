// SPDX-License-Identifier: MIT
#include "base/posix/socket_address.h"

#include <arpa/inet.h>
#include <string.h>

#include <algorithm>
#include <charconv>

namespace proxyd {

SocketAddress SocketAddress::from_ipv4(in_addr address, uint16_t port) {
    SocketAddress result;
    result.storage_.ipv4.sin_family = AF_INET;
    result.storage_.ipv4.sin_port = htons(port);
    result.storage_.ipv4.sin_addr = address;
    return result;
}

SocketAddress SocketAddress::from_ipv6(const in6_addr& address, uint16_t port, uint32_t scope_id) {
    SocketAddress result;
    result.storage_.ipv6.sin6_family = AF_INET6;
    result.storage_.ipv6.sin6_port = htons(port);
    result.storage_.ipv6.sin6_addr = address;
    result.storage_.ipv6.sin6_scope_id = scope_id;
    return result;
}

SocketAddress SocketAddress::from_kernel(const sockaddr* address, socklen_t length) {
    SocketAddress result;
    if (address == nullptr || length < sizeof(sa_family_t)) return result;
    if (address->sa_family == AF_INET && length >= sizeof(sockaddr_in)) {
        memcpy(&result.storage_, address, sizeof(sockaddr_in));
    } else if (address->sa_family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
        memcpy(&result.storage_, address, sizeof(sockaddr_in6));
    }
    return result;
}

std::optional<SocketAddress> SocketAddress::parse_host(std::string_view text, uint16_t port) {
    std::array<char, INET6_ADDRSTRLEN> host{};
    if (text.size() >= host.size() || text.find('\0') != text.npos) return std::nullopt;
    std::copy(text.begin(), text.end(), host.begin());
    in_addr ipv4;
    if (inet_pton(AF_INET, host.data(), &ipv4) == 1) return from_ipv4(ipv4, port);
    in6_addr ipv6;
    if (inet_pton(AF_INET6, host.data(), &ipv6) == 1) return from_ipv6(ipv6, port);
    return std::nullopt;
}

namespace {

Result<SocketAddress> ask_kernel(int (*call)(int, sockaddr*, socklen_t*), BorrowedFd socket) {
    sockaddr_storage storage;
    socklen_t length = sizeof(storage);
    auto* generic = reinterpret_cast<sockaddr*>(&storage);
    if (call(socket.number(), generic, &length) != 0) return Unexpected{Errno::last()};
    return SocketAddress::from_kernel(generic, length);
}

}  // namespace

Result<SocketAddress> SocketAddress::peer_of(BorrowedFd socket) {
    return ask_kernel(::getpeername, socket);
}

Result<SocketAddress> SocketAddress::local_of(BorrowedFd socket) {
    return ask_kernel(::getsockname, socket);
}

uint16_t SocketAddress::port() const {
    switch (family()) {
        case AF_INET:
            return ntohs(storage_.ipv4.sin_port);
        case AF_INET6:
            return ntohs(storage_.ipv6.sin6_port);
        default:
            return 0;
    }
}

bool SocketAddress::is_wildcard() const {
    switch (family()) {
        case AF_INET:
            return storage_.ipv4.sin_addr.s_addr == htonl(INADDR_ANY);
        case AF_INET6:
            return IN6_IS_ADDR_UNSPECIFIED(&storage_.ipv6.sin6_addr);
        default:
            return false;
    }
}

SocketAddress SocketAddress::as_v4_mapped() const {
    if (family() != AF_INET) return *this;
    in6_addr mapped{};
    mapped.s6_addr[10] = mapped.s6_addr[11] = 0xff;
    memcpy(&mapped.s6_addr[12], &storage_.ipv4.sin_addr, 4);
    return from_ipv6(mapped, port());
}

socklen_t SocketAddress::kernel_length() const {
    switch (family()) {
        case AF_INET:
            return sizeof(sockaddr_in);
        case AF_INET6:
            return sizeof(sockaddr_in6);
        default:
            return sizeof(sa_family_t);
    }
}

std::string_view SocketAddress::format(Text& text) const {
    if (!has_address()) return "-";
    char* out = text.data();
    char* const end = text.data() + text.size();
    if (family() == AF_INET) {
        // Each log line has some: inet_ntop(3) goes through printf(3).
        const uint32_t bytes = ntohl(storage_.ipv4.sin_addr.s_addr);
        for (int shift = 24; shift >= 0; shift -= 8) {
            out = std::to_chars(out, end, bytes >> shift & 0xff).ptr;
            if (shift > 0) *out++ = '.';
        }
    } else {
        *out++ = '[';
        inet_ntop(AF_INET6, &storage_.ipv6.sin6_addr, out, INET6_ADDRSTRLEN);
        out += strlen(out);
        if (scope_id() != 0) {
            *out++ = '%';
            out = std::to_chars(out, end, scope_id()).ptr;
        }
        *out++ = ']';
    }
    *out++ = ':';
    out = std::to_chars(out, end, port()).ptr;
    return {text.data(), static_cast<size_t>(out - text.data())};
}

bool operator==(const SocketAddress& a, const SocketAddress& b) {
    if (a.family() != b.family()) return false;
    switch (a.family()) {
        case AF_INET:
            return a.port() == b.port() && a.ipv4().s_addr == b.ipv4().s_addr;
        case AF_INET6:
            return a.port() == b.port() && a.scope_id() == b.scope_id() &&
                   IN6_ARE_ADDR_EQUAL(&a.ipv6(), &b.ipv6());
        default:
            return true;
    }
}

}  // namespace proxyd
