// SPDX-License-Identifier: MIT
//
// JSON for configuration files: a document in which every key and value knows its line. Used by the
// configuration readers. nlohmann_json does the parsing (its 3.11 knows no positions, so an
// iterator that counts lines is put under it); comments are allowed, nothing throws.
#pragma once

#include "base/posix/result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace proxyd {

struct JsonMember;

struct JsonValue {
    using Array = std::vector<JsonValue>;
    using Object = std::vector<JsonMember>;  // in the order of the file, duplicates included

    std::variant<std::nullptr_t, bool, int64_t, double, std::string, Array, Object> value;
    int line = 0;

    template <typename T>
    const T* as() const {
        return std::get_if<T>(&value);
    }
    // "null", "a boolean", "a number", "a string", "an array" or "an object".
    std::string_view type_words() const;
};

struct JsonMember {
    std::string key;
    int key_line = 0;
    JsonValue value;
};

struct JsonError {
    int line = 0;
    std::string text;  // what is wrong at that line
};

Result<JsonValue, JsonError> parse_json(std::string_view text);

}  // namespace proxyd
