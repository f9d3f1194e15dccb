// SPDX-License-Identifier: MIT
//
// InstanceLabel: what a receiver's site socket is called between the port and ".sock" when the
// receiver is a server under libpreload: 443.<label>.sock. It holds the address that the server
// believes it is listening on, so that libpreload needs no memory of its own (the kernel keeps the
// name, through dup, fork, exec and SCM_RIGHTS) and proxyd sees which clients suit which socket.
//
//     label   := family "-" address "-" port "-" index
//     family  := "4" | "6" (IPv6 only) | "d" (IPv6 dual-stack: IPv4 clients appear as v4-mapped)
//     address := "any" | 8 or 32 hexadecimal digits, lower-case
//     port    := the server's port, decimal, 1 to 65535
//     index   := 0 to 9999: several sockets of one address (SO_REUSEPORT)
#pragma once

#include "base/posix/socket_address.h"

#include <stdint.h>

#include <array>
#include <optional>
#include <string_view>

namespace proxyd {

struct InstanceLabel {
    static constexpr size_t TextBytesMax = 1 + 1 + 32 + 1 + 5 + 1 + 4 + 1;
    static constexpr uint32_t IndexMax = 9999;
    using Text = std::array<char, TextBytesMax>;

    SocketAddress address;  // address and port that the server bound; its scope id is not kept
    bool is_ipv6_only = false;
    uint32_t index = 0;

    // The view lies in `text`.
    std::string_view format(Text& text) const;
    static std::optional<InstanceLabel> parse(std::string_view text);

    // Whether a listener like this would have met a client of that family.
    bool suits(sa_family_t client_family) const;
};

// Whether TCP would refuse to bind both (without SO_REUSEPORT): same port, overlapping addresses.
bool listen_to_the_same(const InstanceLabel& a, const InstanceLabel& b);

}  // namespace proxyd
