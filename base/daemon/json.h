// SPDX-License-Identifier: MIT
//
// JSON for configuration files: a document in which every key and value knows its line. Used by the
// configuration readers. Comments are allowed, nothing throws. It is read in one pass and by nearly
// no allocations, since there are files with a hundred thousand routes; texts with escapes or
// beyond ASCII, numbers and the words for errors are left to nlohmann_json.
#pragma once

#include "base/posix/result.h"

#include <cstdint>
#include <forward_list>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace proxyd {

struct JsonMember;

struct JsonValue {
    using Array = std::vector<JsonValue>;
    using Object = std::vector<JsonMember>;  // in the order of the file, duplicates included

    std::variant<std::nullptr_t, bool, int64_t, double, std::string_view, Array, Object> value;
    int line = 0;

    template <typename T>
    const T* as() const {
        return std::get_if<T>(&value);
    }
    // "null", "a boolean", "a number", "a string", "an array" or "an object".
    std::string_view type_words() const;
};

struct JsonMember {
    std::string_view key;
    int key_line = 0;
    JsonValue value;
};

struct JsonDocument {
    JsonValue root;
    // The texts that don't stand so in the file. `root` refers to them, so it can't be copied.
    std::forward_list<std::unique_ptr<const std::string>> decoded;
};

struct JsonError {
    int line = 0;
    std::string text;  // what is wrong at that line
};

// The document refers to `text`, which must outlive it.
Result<JsonDocument, JsonError> parse_json(std::string_view text);

}  // namespace proxyd
