// SPDX-License-Identifier: MIT
//
// SocketAddress: an address and port of IPv4 or IPv6, as a value. Used by everything that speaks of
// clients and listeners. Neither allocates nor resolves names.
#pragma once

#include "base/posix/result.h"
#include "base/posix/unique_fd.h"

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

#include <array>
#include <optional>
#include <string_view>

namespace proxyd {

class SocketAddress {
  public:
    // "[" + 39 characters + "%" + 10 digits of scope + "]:" + 5 digits + NUL, rounded up.
    static constexpr size_t TextBytesMax = 64;
    using Text = std::array<char, TextBytesMax>;

    SocketAddress() = default;  // no address: family() is AF_UNSPEC

    static SocketAddress from_ipv4(in_addr address, uint16_t port);
    static SocketAddress from_ipv6(const in6_addr& address, uint16_t port, uint32_t scope_id = 0);
    // Copies what the kernel gave; anything but AF_INET and AF_INET6 gives no address.
    static SocketAddress from_kernel(const sockaddr* address, socklen_t length);
    // Reads "192.0.2.1" or "2001:db8::1", without brackets, port or scope (inet_pton(3)).
    static std::optional<SocketAddress> parse_host(std::string_view text, uint16_t port);

    static Result<SocketAddress> peer_of(BorrowedFd socket);   // getpeername(2)
    static Result<SocketAddress> local_of(BorrowedFd socket);  // getsockname(2)

    sa_family_t family() const { return storage_.generic.sa_family; }
    bool has_address() const { return family() != AF_UNSPEC; }
    uint16_t port() const;
    bool is_wildcard() const;  // 0.0.0.0 or ::

    // Only for an address of that family.
    const in_addr& ipv4() const { return storage_.ipv4.sin_addr; }
    const in6_addr& ipv6() const { return storage_.ipv6.sin6_addr; }
    uint32_t scope_id() const { return storage_.ipv6.sin6_scope_id; }

    // ::ffff:a.b.c.d for IPv4 (RFC 4291 section 2.5.5.2); an IPv6 address stays as it is.
    SocketAddress as_v4_mapped() const;

    const sockaddr* kernel_address() const { return &storage_.generic; }
    socklen_t kernel_length() const;

    // "192.0.2.1:443", "[2001:db8::1]:443", "[fe80::1%2]:443" or "-"; the view lies in `text`.
    std::string_view format(Text& text) const;

    friend bool operator==(const SocketAddress& a, const SocketAddress& b);

  private:
    union Storage {
        sockaddr generic;
        sockaddr_in ipv4;
        sockaddr_in6 ipv6;
    };
    Storage storage_{.ipv6 = {}};
};

}  // namespace proxyd
