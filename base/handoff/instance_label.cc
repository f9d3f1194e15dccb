// SPDX-License-Identifier: MIT
#include "base/handoff/instance_label.h"

#include <string.h>

#include <charconv>

namespace proxyd {
namespace {

constexpr std::string_view HexDigits = "0123456789abcdef";

char* write_address(const SocketAddress& address, char* out) {
    if (address.is_wildcard()) {
        memcpy(out, "any", 3);
        return out + 3;
    }
    uint8_t bytes[16];
    const size_t count = address.family() == AF_INET ? 4 : 16;
    if (address.family() == AF_INET)
        memcpy(bytes, &address.ipv4(), count);
    else
        memcpy(bytes, &address.ipv6(), count);
    for (size_t i = 0; i < count; i++) {
        *out++ = HexDigits[bytes[i] >> 4];
        *out++ = HexDigits[bytes[i] & 15];
    }
    return out;
}

std::optional<SocketAddress> read_address(bool is_ipv4, std::string_view text, uint16_t port) {
    uint8_t bytes[16] = {};
    const size_t count = is_ipv4 ? 4 : 16;
    if (text != "any") {
        if (text.size() != 2 * count) return std::nullopt;
        for (size_t i = 0; i < text.size(); i++) {
            const size_t digit = HexDigits.find(text[i]);
            if (digit == HexDigits.npos) return std::nullopt;
            bytes[i / 2] = static_cast<uint8_t>(size_t{bytes[i / 2]} << 4 | digit);
        }
    }
    if (is_ipv4) {
        in_addr address;
        memcpy(&address, bytes, sizeof(address));
        return SocketAddress::from_ipv4(address, port);
    }
    in6_addr address;
    memcpy(&address, bytes, sizeof(address));
    return SocketAddress::from_ipv6(address, port);
}

// The text up to the next "-", which is taken away with it; the last part has none.
std::string_view next_part(std::string_view& text) {
    const size_t end = text.find('-');
    std::string_view part = text;
    if (end == text.npos) {
        text = {};
    } else {
        part.remove_suffix(text.size() - end);
        text.remove_prefix(end + 1);
    }
    return part;
}

std::optional<uint32_t> read_number(std::string_view text, uint32_t most) {
    uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool canonical = !text.empty() && (text.size() == 1 || text[0] != '0');
    if (error != std::errc() || end != text.data() + text.size() || value > most || !canonical)
        return std::nullopt;
    return value;
}

// What of one family a listener meets: nothing, everything, or one address.
struct Cover {
    enum class Extent { Nothing, One, All } extent = Extent::Nothing;
    uint8_t address[16] = {};
    size_t address_bytes = 0;
};

bool overlap(const Cover& a, const Cover& b) {
    if (a.extent == Cover::Extent::Nothing || b.extent == Cover::Extent::Nothing) return false;
    if (a.extent == Cover::Extent::All || b.extent == Cover::Extent::All) return true;
    return memcmp(a.address, b.address, a.address_bytes) == 0;
}

Cover cover_of_ipv4(const InstanceLabel& label) {
    const SocketAddress& address = label.address;
    if (address.is_wildcard())
        return label.suits(AF_INET) ? Cover{.extent = Cover::Extent::All} : Cover{};
    const bool is_mapped =
        address.family() == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&address.ipv6()) != 0;
    if (address.family() != AF_INET && !is_mapped) return {};
    Cover cover{.extent = Cover::Extent::One, .address_bytes = sizeof(in_addr)};
    memcpy(
        cover.address,
        is_mapped ? &address.ipv6().s6_addr[12] : reinterpret_cast<const uint8_t*>(&address.ipv4()),
        sizeof(in_addr));
    return cover;
}

Cover cover_of_ipv6(const InstanceLabel& label) {
    const SocketAddress& address = label.address;
    if (address.family() != AF_INET6 || IN6_IS_ADDR_V4MAPPED(&address.ipv6())) return {};
    if (address.is_wildcard()) return Cover{.extent = Cover::Extent::All};
    Cover cover{.extent = Cover::Extent::One, .address_bytes = sizeof(in6_addr)};
    memcpy(cover.address, &address.ipv6(), sizeof(in6_addr));
    return cover;
}

}  // namespace

std::string_view InstanceLabel::format(Text& text) const {
    char* out = text.data();
    char* const end = text.data() + text.size();
    *out++ = address.family() == AF_INET ? '4' : is_ipv6_only ? '6' : 'd';
    *out++ = '-';
    out = write_address(address, out);
    *out++ = '-';
    out = std::to_chars(out, end, address.port()).ptr;
    *out++ = '-';
    out = std::to_chars(out, end, index).ptr;
    return {text.data(), static_cast<size_t>(out - text.data())};
}

std::optional<InstanceLabel> InstanceLabel::parse(std::string_view text) {
    const std::string_view family = next_part(text);
    const std::string_view host = next_part(text);
    const auto port = read_number(next_part(text), 65535);
    const auto index = read_number(text, IndexMax);
    if ((family != "4" && family != "6" && family != "d") || !port || *port == 0 || !index)
        return std::nullopt;
    const auto address = read_address(family == "4", host, static_cast<uint16_t>(*port));
    if (!address) return std::nullopt;
    return InstanceLabel{*address, family == "6", *index};
}

bool InstanceLabel::suits(sa_family_t client_family) const {
    if (address.family() == AF_INET6 && !is_ipv6_only) return true;
    return address.family() == client_family;
}

bool listen_to_the_same(const InstanceLabel& a, const InstanceLabel& b) {
    return a.address.port() == b.address.port() && (overlap(cover_of_ipv4(a), cover_of_ipv4(b)) ||
                                                    overlap(cover_of_ipv6(a), cover_of_ipv6(b)));
}

}  // namespace proxyd
