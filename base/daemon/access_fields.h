// SPDX-License-Identifier: MIT
//
// The fields of an access log's line in its three forms: a line of text, a line of JSON, and an
// entry of the systemd journal. A daemon writes a function template that puts the fields of its
// record in their order, and calls it with each of the forms; so they stand in one place. Used by
// the access lines of the daemons.
//
// All have the same members: `text` for words and addresses, `raw` for what clients chose,
// `escaped` for what is escaped already, `path`, and `number`. Empty values stand for nothing, and
// so does a "-" that is no client's choice.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace proxyd {

// " key=value", "-" for nothing.
class TextFields {
  public:
    explicit TextFields(std::string& out) : out_(out) {}

    void text(std::string_view key, std::string_view value);
    void raw(std::string_view key, std::string_view value);
    void escaped(std::string_view key, std::string_view value);
    void path(std::string_view key, std::string_view directory, std::string_view file);
    void number(std::string_view key, std::optional<int64_t> value);

  private:
    void begin(std::string_view key);

    std::string& out_;
};

// ",\"key\":value", null for nothing.
class JsonFields {
  public:
    explicit JsonFields(std::string& out) : out_(out) {}

    void text(std::string_view key, std::string_view value);
    void raw(std::string_view key, std::string_view value);
    void escaped(std::string_view key, std::string_view value);
    void path(std::string_view key, std::string_view directory, std::string_view file);
    void number(std::string_view key, std::optional<int64_t> value);

  private:
    void begin(std::string_view key);

    std::string& out_;
    std::string scratch_;
};

// "PREFIX_KEY=value" in lines of their own, no line for nothing: values have no newlines, which
// escaping sees to (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/).
class JournalFields {
  public:
    JournalFields(std::string& out, std::string_view prefix) : out_(out), prefix_(prefix) {}

    void text(std::string_view key, std::string_view value);
    void raw(std::string_view key, std::string_view value);
    void escaped(std::string_view key, std::string_view value);
    void path(std::string_view key, std::string_view directory, std::string_view file);
    void number(std::string_view key, std::optional<int64_t> value);

  private:
    void begin(std::string_view key);

    std::string& out_;
    const std::string_view prefix_;
};

}  // namespace proxyd
