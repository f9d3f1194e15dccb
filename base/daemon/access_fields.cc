// SPDX-License-Identifier: MIT
#include "base/daemon/access_fields.h"

#include "base/daemon/log.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

namespace proxyd {
namespace {

bool is_nothing(std::string_view text) {
    return text.empty() || text == "-";
}

void append_path(std::string& out, std::string_view directory, std::string_view file) {
    append_escaped(out, directory);
    if (file.empty()) return;
    out += '/';
    append_escaped(out, file);
}

void append_number(std::string& out, int64_t number) {
    std::array<char, 20> text;  // as many as the longest has
    out.append(text.data(), std::to_chars(text.data(), text.data() + text.size(), number).ptr);
}

// Nearly all strings need no escaping; the library knows how to do the others.
void append_json_string(std::string& out, std::string_view text) {
    const bool is_plain = std::all_of(text.begin(), text.end(), [](char c) {
        return c >= ' ' && c <= '~' && c != '"' && c != '\\';
    });
    if (is_plain)
        out.append("\"").append(text).append("\"");
    else
        out += nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

void TextFields::text(std::string_view key, std::string_view value) {
    begin(key);
    append_escaped(out_, value.empty() ? "-" : value);
}

void TextFields::raw(std::string_view key, std::string_view value) {
    path(key, value, "");
}

// A "-" alone would be taken for nothing.
void TextFields::escaped(std::string_view key, std::string_view value) {
    begin(key);
    out_ += value.empty() ? "-" : value == "-" ? "\\x2d" : value;
}

void TextFields::path(std::string_view key, std::string_view directory, std::string_view file) {
    if (directory.empty() || directory == "-") return escaped(key, directory);
    begin(key);
    append_path(out_, directory, file);
}

void TextFields::number(std::string_view key, std::optional<int64_t> value) {
    if (!value) return text(key, "");
    begin(key);
    append_number(out_, *value);
}

void TextFields::begin(std::string_view key) {
    out_.append(" ").append(key).append("=");
}

void JsonFields::text(std::string_view key, std::string_view value) {
    escaped(key, is_nothing(value) ? "" : value);
}

// A name may be any bytes, and JSON text is UTF-8: so it is escaped as in the text log.
void JsonFields::raw(std::string_view key, std::string_view value) {
    scratch_.clear();
    append_escaped(scratch_, value);
    escaped(key, scratch_);
}

void JsonFields::escaped(std::string_view key, std::string_view value) {
    begin(key);
    if (value.empty())
        out_ += "null";
    else
        append_json_string(out_, value);
}

void JsonFields::path(std::string_view key, std::string_view directory, std::string_view file) {
    scratch_ = directory;
    if (!file.empty()) scratch_.append("/").append(file);
    escaped(key, scratch_);
}

void JsonFields::number(std::string_view key, std::optional<int64_t> value) {
    begin(key);
    if (value)
        append_number(out_, *value);
    else
        out_ += "null";
}

void JsonFields::begin(std::string_view key) {
    out_.append(",\"").append(key).append("\":");
}

void JournalFields::text(std::string_view key, std::string_view value) {
    if (!is_nothing(value)) raw(key, value);
}

void JournalFields::raw(std::string_view key, std::string_view value) {
    path(key, value, "");
}

void JournalFields::escaped(std::string_view key, std::string_view value) {
    if (value.empty()) return;
    begin(key);
    out_.append(value).append("\n");
}

void JournalFields::path(std::string_view key, std::string_view directory, std::string_view file) {
    if (directory.empty()) return;
    begin(key);
    append_path(out_, directory, file);
    out_ += '\n';
}

void JournalFields::number(std::string_view key, std::optional<int64_t> value) {
    if (!value) return;
    begin(key);
    append_number(out_, *value);
    out_ += '\n';
}

void JournalFields::begin(std::string_view key) {
    out_ += prefix_;
    for (const char c : key)
        out_ += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    out_ += '=';
}

}  // namespace proxyd
