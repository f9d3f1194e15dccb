// SPDX-License-Identifier: MIT
#include "base/daemon/configuration/cidr_list.h"

#include "base/daemon/configuration/configuration_values.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace proxyd {
namespace {

constexpr unsigned MappedBits = 96;  // ::ffff:0:0/96 (RFC 4291 section 2.5.5.2)
constexpr std::string_view Allowed =
    "an address or a prefix such as \"192.0.2.0/24\" or \"2001:db8::/32\" is allowed";

uint64_t big_endian(const uint8_t* bytes) {
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | bytes[i];
    return value;
}

// The top `bits` of 64 ones.
constexpr uint64_t mask(unsigned bits) {
    return bits == 0 ? 0 : bits >= 64 ? ~uint64_t{0} : ~uint64_t{0} << (64 - bits);
}

bool is_mapped(uint64_t high, uint64_t low) {
    return high == 0 && low >> 32 == 0xffff;
}

std::optional<unsigned> parse_length(std::string_view text, unsigned most) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    // "/08" is refused too: who writes it might mean something else.
    if (error != std::errc() || end != text.data() + text.size() || value > most ||
        (text.size() > 1 && text.front() == '0'))
        return std::nullopt;
    return value;
}

std::string prefix_text(uint64_t high, uint64_t low, bool is_ipv4, unsigned bits) {
    std::array<uint8_t, 16> bytes;
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = static_cast<uint8_t>(high >> (56 - 8 * i));
        bytes[8 + i] = static_cast<uint8_t>(low >> (56 - 8 * i));
    }
    std::array<char, INET6_ADDRSTRLEN> text;
    inet_ntop(is_ipv4 ? AF_INET : AF_INET6, is_ipv4 ? &bytes[12] : bytes.data(), text.data(),
              text.size());
    return fmt::format("{}/{}", text.data(), bits);
}

}  // namespace

size_t CidrList::Hash::operator()(const Entry& entry) const {
    // Whoever writes the configuration is no attacker: mixing the bits is enough.
    uint64_t value = entry.key.high * 0x9e3779b97f4a7c15 ^ entry.key.low;
    value = (value ^ value >> 32) * 0xd6e8feb86659fd93;
    return value ^ value >> 32;
}

CidrList::Key CidrList::key_of(const SocketAddress& address) {
    const SocketAddress mapped = address.as_v4_mapped();
    const uint8_t* const bytes = mapped.ipv6().s6_addr;
    return {big_endian(bytes), big_endian(bytes + 8)};
}

CidrList::Key CidrList::cut(Key key, unsigned bits) {
    return {key.high & mask(bits), bits > 64 ? key.low & mask(bits - 64) : 0};
}

Result<void, std::string> CidrList::add(std::string_view text) {
    const auto wrong = [&](std::string_view what) {
        return Unexpected{fmt::format("'{}' {}, {}", printable(text), what, Allowed)};
    };
    const size_t slash = text.find('/');
    const auto address = SocketAddress::parse_host(text.substr(0, slash), 0);
    if (!address) return wrong("is no address");
    const bool is_ipv4 = address->family() == AF_INET;
    const unsigned most = is_ipv4 ? 32 : 128;
    std::optional<unsigned> length = most;
    if (slash != text.npos) length = parse_length(text.substr(slash + 1), most);
    if (!length)
        return wrong(fmt::format("has no length of prefix from 0 to {} behind the '/'", most));
    const Key key = key_of(*address);
    const unsigned bits = is_ipv4 ? *length + MappedBits : *length;
    if (!is_ipv4 && is_mapped(key.high, key.low))
        return wrong("is an IPv4 address in the form of an IPv6 one, such clients are IPv4 here");
    const Key kept = cut(key, bits);
    if (kept != key)
        return Unexpected{
            fmt::format("'{}' has bits set behind the prefix, did you mean '{}' or '{}'?",
                        printable(text), prefix_text(kept.high, kept.low, is_ipv4, *length),
                        prefix_text(key.high, key.low, is_ipv4, most))};

    std::vector<Length>& lengths = is_ipv4 ? ipv4_ : ipv6_;
    auto place = std::find_if(lengths.begin(), lengths.end(),
                              [bits](const Length& other) { return other.bits <= bits; });
    if (place == lengths.end() || place->bits != bits)
        place = lengths.insert(place, Length{bits, {}});
    if (place->entries.insert({kept, static_cast<uint32_t>(texts_.size())}).second)
        texts_.emplace_back(text);
    return {};
}

Result<CidrList, std::string> CidrList::parse(const std::vector<std::string>& texts) {
    CidrList list;
    for (const std::string& text : texts)
        if (const auto added = list.add(text); !added) return Unexpected{added.error()};
    return list;
}

bool CidrList::contains(const SocketAddress& address) const {
    return !find(address).empty();
}

std::string_view CidrList::find(const SocketAddress& address) const {
    if (!address.has_address()) return {};
    const Key key = key_of(address);
    for (const Length& length : is_mapped(key.high, key.low) ? ipv4_ : ipv6_) {
        const auto found = length.entries.find(Entry{cut(key, length.bits), 0});
        if (found != length.entries.end()) return texts_[found->text];
    }
    return {};
}

}  // namespace proxyd
