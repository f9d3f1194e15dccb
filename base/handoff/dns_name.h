// SPDX-License-Identifier: MIT
//
// DnsName: a name that passed the rules and may be looked up, logged and become a path. A value
// without heap memory. Used by the parsers, routes and sites.
#pragma once

#include "base/posix/result.h"

#include <stdint.h>

#include <array>
#include <string_view>

namespace proxyd {

enum class NameFlaw {
    Empty,
    TooLong,             // more than 253 bytes (RFC 1035 section 2.3.4, less the root's dot)
    LabelTooLong,        // more than 63 bytes between two dots
    EmptyLabel,          // a leading dot or two in a row
    ForbiddenCharacter,  // anything but letters, digits, "-", "_" and "."
    IpLiteral,           // its last label is a number (IPv4, however written), or it is IPv6
};

// The word of the access log: "name_empty", "name_too_long", "name_label_too_long",
// "name_has_empty_label", "name_has_forbidden_character", "name_is_ip_literal".
std::string_view name_flaw_word(NameFlaw flaw);

class DnsName {
  public:
    static constexpr size_t BytesMax = 253;

    // Lower-cases, and takes away one trailing dot.
    static Result<DnsName, NameFlaw> parse(std::string_view text);

    std::string_view view() const { return {text_.data(), size_}; }
    friend bool operator==(const DnsName& a, const DnsName& b) { return a.view() == b.view(); }

  private:
    std::array<char, BytesMax> text_{};
    uint8_t size_ = 0;
};

}  // namespace proxyd
