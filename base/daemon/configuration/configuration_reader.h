// SPDX-License-Identifier: MIT
//
// ConfigurationReader: the errors found so far in a configuration file, and the checks that many
// keys need. Used by each daemon's configuration. It knows no key itself.
#pragma once

#include "base/daemon/json.h"
#include "base/posix/result.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace proxyd {

// All that is wrong, one message each: "file:line: path.to.key: what is wrong, what is allowed".
using ConfigurationErrors = std::vector<std::string>;

// `file` is only the name in messages; the document refers to `text`.
Result<JsonDocument, ConfigurationErrors> parse_configuration_document(std::string_view text,
                                                                       std::string_view file);

class ConfigurationReader {
  public:
    explicit ConfigurationReader(std::string_view file) : file_(file) {}

    bool is_fine() const { return errors_.empty(); }
    ConfigurationErrors take_errors() { return std::move(errors_); }

    // "file:line: path", as messages begin.
    std::string place(int line, std::string_view path) const;
    // While it lives, all paths are below `path`: of keys that stand in an object elsewhere.
    class Below {
      public:
        Below(ConfigurationReader& reader, std::string_view path) : reader_(reader) {
            reader.prefix_ = std::string(path) + ".";
        }
        ~Below() { reader_.prefix_.clear(); }
        Below(const Below&) = delete;
        Below& operator=(const Below&) = delete;

      private:
        ConfigurationReader& reader_;
    };

    template <typename... Arguments>
    void add_error(int line, std::string_view path, fmt::format_string<Arguments...> format,
                   Arguments&&... arguments) {
        add_error_text(line, path, fmt::format(format, std::forward<Arguments>(arguments)...));
    }

    static bool given(const JsonValue::Object& object, std::string_view key);
    // False, after an error, for a key that stands in the object before `member` too; the first one
    // is in force.
    bool is_first(const JsonValue::Object& object, const JsonMember& member, std::string_view path);
    // "is not a key of <what>", with a hint.
    void add_unknown_key(const JsonMember& member, std::string_view path, std::string_view what,
                         std::span<const std::string_view> known);

    // Each adds an error for a value that isn't allowed, and then gives nothing or changes nothing.
    const std::string_view* string_of(const JsonValue& value, std::string_view path,
                                      std::string_view allowed);
    std::string absolute_path(const JsonValue& value, std::string_view path);
    void read_count(const JsonValue& value, std::string_view path, int64_t least, int64_t most,
                    size_t& out);
    void read_duration(const JsonValue& value, std::string_view path,
                       std::chrono::milliseconds least, std::chrono::milliseconds& out);
    // The same for keys that stand in no other one.
    void read_count(const JsonMember& member, int64_t least, int64_t most, size_t& out) {
        read_count(member.value, member.key, least, most, out);
    }
    void read_duration(const JsonMember& member, std::chrono::milliseconds least,
                       std::chrono::milliseconds& out) {
        read_duration(member.value, member.key, least, out);
    }

  private:
    void add_error_text(int line, std::string_view path, const std::string& text);

    const std::string file_;
    std::string prefix_;
    ConfigurationErrors errors_;
};

}  // namespace proxyd
