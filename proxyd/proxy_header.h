// SPDX-License-Identifier: MIT
//
// The PROXY protocol header that a load balancer puts in front of a client's bytes, version 1
// (text) and 2 (binary). A pure function over the bytes that were seen so far. Used by session; who
// may send one, and who must, is not known here. Source: "The PROXY protocol, versions 1 & 2",
// section 2. (The header of a handoff, which proxyd writes, is base/handoff/wire_header.h.)
#pragma once

#include "base/posix/socket_address.h"
#include "proxyd/hello.h"

#include <optional>
#include <variant>

namespace proxyd {

// Of version 2. The text asks for 536 at least; certificates of clients take more.
inline constexpr size_t ProxyHeaderBytesMax = 4096;

struct ProxyHeader {
    size_t size = 0;  // the client's own bytes begin behind it
    // The connection's ends as the balancer saw them. No addresses: it speaks for itself (LOCAL),
    // or doesn't know (UNKNOWN, UNSPEC, a Unix socket), and the connection's own ones count.
    SocketAddress source;
    SocketAddress destination;
};

// Malformed has one of two reasons, and nothing of the bytes: "proxy_header_missing", when they
// are something else, and "proxy_header_malformed".
using ProxyHeaderOutcome = std::variant<NeedMore, ProxyHeader, Malformed>;

ProxyHeaderOutcome parse_proxy_header(Bytes bytes);

// Whether the bytes are a header, right or wrong; nothing while they may still become one.
std::optional<bool> begins_with_proxy_header(Bytes bytes);

}  // namespace proxyd
