// SPDX-License-Identifier: MIT
#include "proxyd/route_key.h"

#include "base/daemon/configuration/configuration_values.h"
#include "base/handoff/dns_name.h"

#include <ctype.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace proxyd {
namespace {

constexpr std::array<std::string_view, 5> ProtocolClasses = {"@tls", "@http", "@ssh", "@silent",
                                                             "@other"};

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

}  // namespace

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

}  // namespace proxyd
