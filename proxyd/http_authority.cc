// SPDX-License-Identifier: MIT
#include "proxyd/http_authority.h"

#include "base/posix/socket_address.h"

#include <algorithm>

namespace proxyd {
namespace {

constexpr uint32_t PortMax = 65535;

// RFC 3986 section 3.2.3: digits, maybe none.
bool is_port(std::string_view text) {
    uint32_t port = 0;
    for (const char c : text) {
        if (c < '0' || c > '9') return false;
        port = port * 10 + static_cast<uint32_t>(c - '0');
        if (port > PortMax) return false;
    }
    return true;
}

// The host of "host" or "host:port", with the brackets of an IPv6 literal; nothing if it is
// neither, or a broken literal, or a port without host.
std::optional<std::string_view> host_of_authority(std::string_view authority) {
    size_t host_bytes = std::min(authority.find(':'), authority.size());
    if (authority.starts_with('[')) {
        const size_t close = authority.find(']');
        if (close == authority.npos) return std::nullopt;
        const auto address = SocketAddress::parse_host(authority.substr(1, close - 1), 0);
        if (!address || address->family() != AF_INET6) return std::nullopt;
        host_bytes = close + 1;
    }
    const std::string_view port = authority.substr(host_bytes);
    if (!port.empty() && (port[0] != ':' || !is_port(port.substr(1)))) return std::nullopt;
    if (host_bytes == 0) return std::nullopt;
    return authority.substr(0, host_bytes);
}

}  // namespace

Result<DnsName, Malformed> name_of_authority(std::string_view authority,
                                             std::string_view reason_if_malformed) {
    const auto host = host_of_authority(authority);
    if (!host) return Unexpected{Malformed{reason_if_malformed, std::string(authority)}};
    const auto name = DnsName::parse(*host);
    if (!name) return Unexpected{Malformed{name_flaw_word(name.error()), std::string(*host)}};
    return *name;
}

}  // namespace proxyd
