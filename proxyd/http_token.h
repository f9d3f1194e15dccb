// SPDX-License-Identifier: MIT
//
// The characters of which HTTP methods and header names are made (RFC 9110 section 5.6.2). Used by
// the recognition of protocols and by the parser of request heads.
#pragma once

#include <algorithm>
#include <string_view>

namespace proxyd {

constexpr bool is_token_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos);
}

constexpr bool is_token(std::string_view text) {
    return !text.empty() && std::ranges::all_of(text, is_token_character);
}

}  // namespace proxyd
