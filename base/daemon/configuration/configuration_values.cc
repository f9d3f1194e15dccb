// SPDX-License-Identifier: MIT
#include "base/daemon/configuration/configuration_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <numeric>

namespace proxyd {
namespace {

using std::chrono::milliseconds;

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
