// SPDX-License-Identifier: MIT
#include "base/daemon/json_message.h"

namespace proxyd {
namespace {

// Brackets in strings are none.
bool is_shallow(std::string_view text) {
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.size(); i++) {
        const char c = text[i];
        if (in_string) {
            if (c == '\\') i++;
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > JsonDepthMax) return false;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return true;
}

}  // namespace

std::optional<nlohmann::json> parse_json_message(std::string_view line) {
    if (!is_shallow(line)) return std::nullopt;
    nlohmann::json message = nlohmann::json::parse(line, nullptr, false);
    if (!message.is_object()) return std::nullopt;
    return message;
}

}  // namespace proxyd
