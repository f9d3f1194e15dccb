// SPDX-License-Identifier: MIT
#include "tcpshim/check_exchange.h"

#include "base/posix/socket_address.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <charconv>

namespace proxyd::shim {
namespace {

std::string u8(size_t value) {
    return {static_cast<char>(value & 0xff)};
}
std::string u16(size_t value) {
    return u8(value >> 8) + u8(value);
}
std::string behind_u16(const std::string& content) {
    return u16(content.size()) + content;
}
std::string extension(size_t type, const std::string& content) {
    return u16(type) + behind_u16(content);
}
// A list of 16-bit numbers.
std::string numbers(std::initializer_list<size_t> values) {
    std::string all;
    for (const size_t value : values)
        all += u16(value);
    return all;
}

// RFC 8446 section 4.1.2: TLS 1.3 with X25519, and what servers want that only know TLS 1.2. Any 32
// bytes are an X25519 public key; nobody computes the shared secret, since the answer isn't read
// on.
std::string client_hello(std::string_view name, Bytes random) {
    assert(random.size() == CheckRandomBytes);
    const std::string bytes(random.begin(), random.end());
    std::string extensions;
    if (!name.empty() && !SocketAddress::parse_host(name, 0))
        extensions += extension(0, behind_u16(u8(0) + behind_u16(std::string(name))));
    extensions += extension(10, behind_u16(numbers({0x1d, 0x17, 0x18})));  // x25519, P-256, P-384
    extensions += extension(11, u8(1) + u8(0));                            // uncompressed points
    extensions += extension(13, behind_u16(numbers({0x0403, 0x0503, 0x0804, 0x0805, 0x0806, 0x0807,
                                                    0x0401, 0x0501, 0x0601})));
    extensions += extension(23, "");  // extended_master_secret
    extensions += extension(43, u8(4) + numbers({0x0304, 0x0303}));
    extensions += extension(45, u8(1) + u8(1));  // psk_dhe_ke
    extensions += extension(51, behind_u16(u16(0x1d) + behind_u16(bytes.substr(64, 32))));
    extensions += extension(0xff01, u8(0));  // renegotiation_info
    const std::string body =
        u16(0x0303) + bytes.substr(0, 32) + u8(32) + bytes.substr(32, 32) +
        behind_u16(numbers({0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8,
                            0xc013, 0xc014, 0x9c, 0x9d, 0x2f, 0x35})) +
        u8(1) + u8(0) + behind_u16(extensions);
    return u8(22) + u16(0x0301) + behind_u16(u8(1) + u8(0) + behind_u16(body));
}

std::string proxy_header(ProxyProtocolVersion version) {
    switch (version) {
        case ProxyProtocolVersion::None:
            return {};
        case ProxyProtocolVersion::V1:
            return "PROXY UNKNOWN\r\n";
        case ProxyProtocolVersion::V2:
            return std::string("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 16);
    }
    return {};
}

std::optional<CheckVerdict> judge_tls(Bytes reply, bool is_end) {
    ByteReader reader(reply);
    const std::optional<uint32_t> type = reader.u8();
    const std::optional<Bytes> version = reader.take(2);
    if (type && *type == 22 && version) return CheckVerdict{true, "TLS handshake"};
    if (type && *type == 21 && reader.take(3)) {  // an alert: length, level, description
        const std::optional<uint32_t> description = reader.u8();
        if (description) return CheckVerdict{false, fmt::format("TLS alert {}", *description)};
    } else if (type && *type != 22 && *type != 21) {
        return CheckVerdict{false, "no TLS"};
    }
    if (is_end) return CheckVerdict{false, "closed without an answer"};
    return std::nullopt;
}

std::optional<CheckVerdict> judge_http(const CheckConfiguration& check, Bytes reply, bool is_end) {
    // "HTTP/1.1 200": version, blank, three digits.
    constexpr std::string_view start = "HTTP/1.";
    constexpr size_t status_at = start.size() + 2, status_end = status_at + 3;
    const std::string text(reply.begin(), reply.end());
    if (text.compare(0, start.size(), start, 0, std::min(text.size(), start.size())) != 0)
        return CheckVerdict{false, "no HTTP"};
    if (text.size() < status_end) {
        if (is_end) return CheckVerdict{false, "closed without an answer"};
        return std::nullopt;
    }
    unsigned status = 0;
    const auto [end, error] =
        std::from_chars(text.data() + status_at, text.data() + status_end, status);
    if (error != std::errc() || end != text.data() + status_end || text[status_at - 1] != ' ')
        return CheckVerdict{false, "no HTTP"};
    return CheckVerdict{status >= check.status_least && status <= check.status_most,
                        fmt::format("HTTP {}", status)};
}

}  // namespace

std::string make_check_request(const CheckConfiguration& check, ProxyProtocolVersion proxy_protocol,
                               std::string_view name, Bytes random) {
    switch (check.kind) {
        case CheckKind::None:
        case CheckKind::Connect:
            return {};
        case CheckKind::Tls:
            return proxy_header(proxy_protocol) + client_hello(name, random);
        case CheckKind::Http:
            return proxy_header(proxy_protocol) +
                   fmt::format(
                       "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: tcpshim\r\n"
                       "Accept: */*\r\nConnection: close\r\n\r\n",
                       check.path,
                       name.find(':') != name.npos ? fmt::format("[{}]", name) : std::string(name));
    }
    return {};
}

std::optional<CheckVerdict> judge_check_reply(const CheckConfiguration& check, Bytes reply,
                                              bool is_end) {
    switch (check.kind) {
        case CheckKind::None:
        case CheckKind::Connect:
            return CheckVerdict{true, "connected"};
        case CheckKind::Tls:
            return judge_tls(reply, is_end);
        case CheckKind::Http:
            return judge_http(check, reply, is_end);
    }
    return std::nullopt;
}

}  // namespace proxyd::shim
