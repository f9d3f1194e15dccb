// SPDX-License-Identifier: MIT
#include "base/daemon/configuration/configuration_reader.h"

#include "base/daemon/configuration/configuration_values.h"

#include <algorithm>

namespace proxyd {

Result<JsonDocument, ConfigurationErrors> parse_configuration_document(std::string_view text,
                                                                       std::string_view file) {
    Result<JsonDocument, JsonError> document = parse_json(text);
    if (!document)
        return Unexpected{ConfigurationErrors{fmt::format(
            "{}:{}: is not JSON: {}", file, document.error().line, document.error().text)}};
    return *std::move(document);
}

std::string ConfigurationReader::place(int line, std::string_view path) const {
    return fmt::format("{}:{}: {}{}", file_, line, prefix_, path);
}

void ConfigurationReader::add_error_text(int line, std::string_view path, const std::string& text) {
    errors_.push_back(path.empty() ? fmt::format("{}:{}: {}", file_, line, text)
                                   : fmt::format("{}: {}", place(line, path), text));
}

bool ConfigurationReader::given(const JsonValue::Object& object, std::string_view key) {
    return std::any_of(object.begin(), object.end(),
                       [key](const JsonMember& member) { return member.key == key; });
}

bool ConfigurationReader::is_first(const JsonValue::Object& object, const JsonMember& member,
                                   std::string_view path) {
    for (const JsonMember& other : object) {
        if (&other == &member) return true;
        if (other.key != member.key) continue;
        add_error(member.key_line, path, "is given twice, first in line {}", other.key_line);
        return false;
    }
    return true;
}

void ConfigurationReader::add_unknown_key(const JsonMember& member, std::string_view path,
                                          std::string_view what,
                                          std::span<const std::string_view> known) {
    add_error(member.key_line, path, "is not a key of {}, {}", what, hint(member.key, known));
}

const std::string_view* ConfigurationReader::string_of(const JsonValue& value,
                                                       std::string_view path,
                                                       std::string_view allowed) {
    const auto* text = value.as<std::string_view>();
    if (text == nullptr)
        add_error(value.line, path, "is {}, {} is allowed", value.type_words(), allowed);
    return text;
}

std::string ConfigurationReader::absolute_path(const JsonValue& value, std::string_view path) {
    constexpr std::string_view Allowed = "the absolute path of a directory";
    const auto* text = string_of(value, path, Allowed);
    if (text == nullptr) return "";
    if (!is_absolute_path(*text)) {
        add_error(value.line, path, "'{}' is no absolute path, {} is allowed", printable(*text),
                  Allowed);
        return "";
    }
    return without_trailing_slashes(*text);
}

void ConfigurationReader::read_count(const JsonValue& value, std::string_view path, int64_t least,
                                     int64_t most, size_t& out) {
    const auto* number = value.as<int64_t>();
    if (number != nullptr && *number >= least && *number <= most) {
        out = static_cast<size_t>(*number);
        return;
    }
    const std::string found = number ? std::to_string(*number) : std::string(value.type_words());
    add_error(value.line, path, "is {}, a whole number from {} to {} is allowed",
              value.as<double>() ? "no whole number" : found, least, most);
}

void ConfigurationReader::read_duration(const JsonValue& value, std::string_view path,
                                        std::chrono::milliseconds least,
                                        std::chrono::milliseconds& out) {
    const std::string allowed =
        fmt::format("a duration from \"{}\" to \"1h\" such as \"250ms\", \"10s\" or \"2m\"",
                    format_duration(least));
    const auto* text = string_of(value, path, allowed);
    if (text == nullptr) return;
    const auto duration = parse_duration(*text);
    if (duration && *duration >= least && *duration <= std::chrono::hours(1)) {
        out = *duration;
        return;
    }
    add_error(value.line, path, "is '{}', {} is allowed", printable(*text), allowed);
}

}  // namespace proxyd
