// SPDX-License-Identifier: MIT
#include "proxyd/configuration_values.h"

#include "base/handoff/dns_name.h"

#include <ctype.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <numeric>

namespace proxyd {
namespace {

using std::chrono::milliseconds;

constexpr std::array<std::string_view, 5> ProtocolClasses = {"@tls", "@http", "@ssh", "@silent",
                                                             "@other"};

struct DurationUnit {
    std::string_view name;
    milliseconds length;
};
constexpr std::array<DurationUnit, 4> DurationUnits = {{
    {"ms", milliseconds(1)},
    {"s", milliseconds(1'000)},
    {"m", milliseconds(60'000)},
    {"h", milliseconds(3'600'000)},
}};

template <typename Integer>
std::optional<Integer> parse_whole(std::string_view text) {
    Integer value = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, value);
    if (text.empty() || error != std::errc() || rest != end) return std::nullopt;
    return value;
}

std::string first_forbidden_character(std::string_view name) {
    for (const char c : name) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte > '~') return fmt::format("\\x{:02x}", byte);
        if (!isalnum(byte) && c != '-' && c != '_' && c != '.')
            return printable(std::string_view(&c, 1));
    }
    return "?";
}

std::string what_is_wrong(NameFlaw flaw, std::string_view name) {
    switch (flaw) {
        case NameFlaw::Empty:
            return "is empty";
        case NameFlaw::TooLong:
            return "is longer than 253 bytes";
        case NameFlaw::LabelTooLong:
            return "has more than 63 bytes between two dots";
        case NameFlaw::EmptyLabel:
            return "begins with a dot or has two in a row";
        case NameFlaw::ForbiddenCharacter:
            return fmt::format("has '{}' in it, and names have letters, digits, '-', '_' and '.'",
                               first_forbidden_character(name));
        case NameFlaw::IpLiteral:
            return "is an address, not a name";
    }
    return "is not a name";
}

// Levenshtein's distance: how many characters to change, insert or take away.
size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), size_t{0});
    for (size_t i = 1; i <= a.size(); i++) {
        size_t diagonal = std::exchange(row[0], i);
        for (size_t j = 1; j <= b.size(); j++) {
            const size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
        }
    }
    return row.back();
}

}  // namespace

std::vector<SocketAddress> parse_listen_address(std::string_view text) {
    const size_t colon = text.rfind(':');
    if (colon == text.npos) return {};
    const auto port = parse_whole<uint16_t>(text.substr(colon + 1));
    if (!port) return {};
    std::string_view host = text.substr(0, colon);
    if (host.empty())
        return {SocketAddress::from_ipv4({INADDR_ANY}, *port),
                SocketAddress::from_ipv6(in6addr_any, *port)};
    const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (bracketed) host = host.substr(1, host.size() - 2);
    const auto address = SocketAddress::parse_host(host, *port);
    if (!address || (address->family() == AF_INET6) != bracketed) return {};
    return {*address};
}

std::optional<milliseconds> parse_duration(std::string_view text) {
    const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    const auto count = parse_whole<uint32_t>(text.substr(0, digits));
    if (!count) return std::nullopt;
    for (const DurationUnit& unit : DurationUnits)
        if (text.substr(digits) == unit.name) return int64_t{*count} * unit.length;
    return std::nullopt;
}

std::string format_duration(milliseconds duration) {
    for (auto unit = DurationUnits.rbegin(); unit != DurationUnits.rend(); ++unit)
        if (duration >= unit->length && duration % unit->length == milliseconds(0))
            return fmt::format("{}{}", duration / unit->length, unit->name);
    return "0s";
}

Result<std::string, std::string> parse_route_key(std::string_view text) {
    if (text == "*") return std::string(text);
    if (text.starts_with('@')) {
        if (std::find(ProtocolClasses.begin(), ProtocolClasses.end(), text) !=
            ProtocolClasses.end())
            return std::string(text);
        return Unexpected{
            fmt::format("is not a protocol class, {}",
                        text == "@https" ? "did you mean '@tls'?" : hint(text, ProtocolClasses))};
    }
    const bool is_wildcard = text.starts_with("*.");
    if (!is_wildcard && text.find('*') != text.npos)
        return Unexpected{
            std::string("has a '*' inside, only \"*\" and \"*.\" before a name are allowed")};
    const std::string_view plain = is_wildcard ? text.substr(2) : text;
    const auto name = DnsName::parse(plain);
    if (!name)
        return Unexpected{fmt::format(
            "{}; allowed: a name, \"*.\" before a name, a class such as \"@tls\", or \"*\"",
            what_is_wrong(name.error(), plain))};
    return (is_wildcard ? "*." : "") + std::string(name->view());
}

bool is_absolute_path(std::string_view text) {
    return text.starts_with('/') && text.find('\0') == text.npos;
}

std::string without_trailing_slashes(std::string_view path) {
    while (path.size() > 1 && path.ends_with('/'))
        path.remove_suffix(1);
    return std::string(path);
}

std::string printable(std::string_view text) {
    constexpr size_t BytesMax = 300;
    std::string out;
    for (const char c : text.substr(0, BytesMax)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f || c == '\'' || c == '\\')
            out += fmt::format("\\x{:02x}", byte);
        else
            out += c;
    }
    if (text.size() > BytesMax) out += "...";
    return out;
}

std::string printable_key(std::string_view key) {
    return key.empty() ? "\"\"" : printable(key);
}

std::string hint(std::string_view word, std::span<const std::string_view> known) {
    constexpr size_t FarthestTypingError = 3;
    std::string_view nearest;
    size_t nearest_distance = FarthestTypingError + 1;
    for (const std::string_view candidate : known) {
        const size_t distance = edit_distance(word, candidate);
        if (distance < nearest_distance && distance < candidate.size()) {
            nearest = candidate;
            nearest_distance = distance;
        }
    }
    if (!nearest.empty()) return fmt::format("did you mean '{}'?", nearest);
    return fmt::format("allowed are {}", fmt::join(known, ", "));
}

}  // namespace proxyd
