// SPDX-License-Identifier: MIT
#include "proxyd/proxy_header.h"

#include <string.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace proxyd {
namespace {

using Addresses = std::pair<SocketAddress, SocketAddress>;  // source and destination

constexpr std::string_view TextBeginning = "PROXY ";
constexpr size_t TextBytesMin = 15;   // "PROXY UNKNOWN\r\n"
constexpr size_t TextBytesMax = 107;  // section 2.1

constexpr std::string_view Signature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr size_t FixedBytes = 16;
enum Command : uint8_t { Local = 0x20, Proxy = 0x21 };  // and the version, 2
enum Family : uint8_t { Unspecified = 0x00, Tcp4 = 0x11, Tcp6 = 0x21, UnixStream = 0x31 };

const Malformed Broken{"proxy_header_malformed", {}};

std::string_view as_text(Bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A balancer with one socket for both families calls its IPv4 clients ::ffff:192.0.2.1; here they
// are what they are.
SocketAddress plain(const SocketAddress& address) {
    if (address.family() != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&address.ipv6())) return address;
    in_addr ipv4;
    memcpy(&ipv4, &address.ipv6().s6_addr[12], sizeof(ipv4));
    return SocketAddress::from_ipv4(ipv4, address.port());
}

// Both or none, since a connection has one family.
ProxyHeader header_with(size_t size, const Addresses& addresses) {
    const Addresses plain_ones(plain(addresses.first), plain(addresses.second));
    const bool is_one_family = plain_ones.first.family() == plain_ones.second.family();
    const Addresses& chosen = is_one_family ? plain_ones : addresses;
    return {size, chosen.first, chosen.second};
}

// The next word of `rest`, up to a space or the end; words are parted by one space.
std::string_view take_word(std::string_view& rest) {
    const size_t end = std::min(rest.find(' '), rest.size());
    const std::string_view word = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    return word;
}

std::optional<uint16_t> parse_port(std::string_view text) {
    uint16_t port = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, port);
    const bool has_leading_zero = text.size() > 1 && text[0] == '0';
    if (text.empty() || error != std::errc() || rest != end || has_leading_zero)
        return std::nullopt;
    return port;
}

// `line` is without "PROXY " and CR LF.
ProxyHeaderOutcome parse_line(std::string_view line, size_t size) {
    std::string_view rest = line;
    const std::string_view family = take_word(rest);
    if (family == "UNKNOWN") return ProxyHeader{.size = size, .source = {}, .destination = {}};
    const bool is_ipv6 = family == "TCP6";
    if ((!is_ipv6 && family != "TCP4") || std::ranges::count(line, ' ') != 4) return Broken;

    std::array<std::string_view, 4> words;
    for (std::string_view& word : words)
        word = take_word(rest);
    const auto source_port = parse_port(words[2]), destination_port = parse_port(words[3]);
    if (!source_port || !destination_port) return Broken;
    const auto source = SocketAddress::parse_host(words[0], *source_port);
    const auto destination = SocketAddress::parse_host(words[1], *destination_port);
    const sa_family_t wanted = is_ipv6 ? AF_INET6 : AF_INET;
    if (!source || !destination || source->family() != wanted || destination->family() != wanted)
        return Broken;
    return header_with(size, {*source, *destination});
}

ProxyHeaderOutcome parse_text(std::string_view text) {
    const size_t line_feed = text.substr(0, TextBytesMax).find('\n');
    if (line_feed == text.npos) {
        if (text.size() >= TextBytesMax) return Broken;
        return NeedMore{std::max(text.size() + 1, TextBytesMin)};
    }
    if (text[line_feed - 1] != '\r') return Broken;
    return parse_line(text.substr(TextBeginning.size(), line_feed - 1 - TextBeginning.size()),
                      line_feed + 1);
}

template <typename Address>
Address copy_address(Bytes bytes) {
    Address address;
    memcpy(&address, bytes.data(), sizeof(address));
    return address;
}

uint16_t u16(Bytes bytes) {
    return static_cast<uint16_t>(bytes[0] << 8 | bytes[1]);
}

Addresses read_ipv4(Bytes block) {
    return {SocketAddress::from_ipv4(copy_address<in_addr>(block.subspan(0, 4)),
                                     u16(block.subspan(8, 2))),
            SocketAddress::from_ipv4(copy_address<in_addr>(block.subspan(4, 4)),
                                     u16(block.subspan(10, 2)))};
}

Addresses read_ipv6(Bytes block) {
    return {SocketAddress::from_ipv6(copy_address<in6_addr>(block.subspan(0, 16)),
                                     u16(block.subspan(32, 2))),
            SocketAddress::from_ipv6(copy_address<in6_addr>(block.subspan(16, 16)),
                                     u16(block.subspan(34, 2)))};
}

// What follows the addresses (TLVs) is passed over. Datagrams can't come in here.
ProxyHeaderOutcome parse_binary(Bytes bytes) {
    if (bytes.size() < FixedBytes) return NeedMore{FixedBytes};
    const uint8_t command = bytes[12], family = bytes[13];
    const size_t size = FixedBytes + u16(bytes.subspan(14, 2));
    if ((command != Local && command != Proxy) || size > ProxyHeaderBytesMax) return Broken;
    if (bytes.size() < size) return NeedMore{size};

    const Bytes block = bytes.subspan(FixedBytes, size - FixedBytes);
    const ProxyHeader without_addresses{.size = size, .source = {}, .destination = {}};
    if (command == Local || family == Unspecified || family == UnixStream) return without_addresses;
    if (family == Tcp4 && block.size() >= 12) return header_with(size, read_ipv4(block));
    if (family == Tcp6 && block.size() >= 36) return header_with(size, read_ipv6(block));
    return Broken;
}

}  // namespace

std::optional<bool> begins_with_proxy_header(Bytes bytes) {
    const std::string_view text = as_text(bytes);
    if (text.starts_with(TextBeginning) || text.starts_with(Signature)) return true;
    if (TextBeginning.starts_with(text) || Signature.starts_with(text)) return std::nullopt;
    return false;
}

ProxyHeaderOutcome parse_proxy_header(Bytes bytes) {
    const auto is_header = begins_with_proxy_header(bytes);
    if (is_header == false) return Malformed{"proxy_header_missing", {}};
    if (is_header == true)
        return bytes[0] == 'P' ? parse_text(as_text(bytes)) : parse_binary(bytes);
    // Empty, or the beginning of one.
    return NeedMore{!bytes.empty() && bytes[0] != 'P' ? FixedBytes : TextBytesMin};
}

}  // namespace proxyd
