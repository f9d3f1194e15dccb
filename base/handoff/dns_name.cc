// SPDX-License-Identifier: MIT
#include "base/handoff/dns_name.h"

#include "base/posix/socket_address.h"

#include <algorithm>

namespace proxyd {
namespace {

constexpr size_t LabelBytesMax = 63;  // RFC 1035 section 2.3.4

constexpr bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
constexpr char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
constexpr bool is_hex_digit(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f');
}

constexpr bool is_allowed(char lowered) {
    return (lowered >= 'a' && lowered <= 'z') || is_digit(lowered) || lowered == '-' ||
           lowered == '_';
}

// A name is an IPv4 address to URL parsers (and to inet_aton(3) behind them) as soon as its last
// label is a number: "127.1", "2130706433", "0x7f.1". No top-level domain is one (RFC 3696 section
// 2), so nothing that exists is lost.
bool is_number(std::string_view lowered_label) {
    if (lowered_label.starts_with("0x"))
        return std::ranges::all_of(lowered_label.substr(2), is_hex_digit);
    return std::ranges::all_of(lowered_label, is_digit);
}

// Only looked at when the characters are wrong for a name: tells the reader of a log what it was.
NameFlaw flaw_of_characters(std::string_view text) {
    if (text.size() > 2 && text.front() == '[' && text.back() == ']')
        text = text.substr(1, text.size() - 2);
    const auto address = SocketAddress::parse_host(text, 0);
    return address ? NameFlaw::IpLiteral : NameFlaw::ForbiddenCharacter;
}

}  // namespace

std::string_view name_flaw_word(NameFlaw flaw) {
    switch (flaw) {
        case NameFlaw::Empty:
            return "name_empty";
        case NameFlaw::TooLong:
            return "name_too_long";
        case NameFlaw::LabelTooLong:
            return "name_label_too_long";
        case NameFlaw::EmptyLabel:
            return "name_has_empty_label";
        case NameFlaw::ForbiddenCharacter:
            return "name_has_forbidden_character";
        case NameFlaw::IpLiteral:
            return "name_is_ip_literal";
    }
    __builtin_unreachable();
}

Result<DnsName, NameFlaw> DnsName::parse(std::string_view text) {
    const std::string_view whole = text;
    if (text.ends_with('.')) text.remove_suffix(1);
    if (text.empty()) return Unexpected{NameFlaw::Empty};
    if (text.size() > BytesMax) return Unexpected{NameFlaw::TooLong};

    DnsName name;
    name.size_ = static_cast<uint8_t>(text.size());
    size_t label_begin = 0;
    for (size_t i = 0; i <= text.size(); i++) {
        const bool label_ends = i == text.size() || text[i] == '.';
        if (!label_ends) {
            const char c = lower(text[i]);
            if (!is_allowed(c)) return Unexpected{flaw_of_characters(whole)};
            name.text_[i] = c;
            continue;
        }
        if (i == label_begin) return Unexpected{NameFlaw::EmptyLabel};
        if (i - label_begin > LabelBytesMax) return Unexpected{NameFlaw::LabelTooLong};
        if (i == text.size()) break;
        name.text_[i] = '.';
        label_begin = i + 1;
    }
    if (is_number(name.view().substr(label_begin))) return Unexpected{NameFlaw::IpLiteral};
    return name;
}

}  // namespace proxyd
