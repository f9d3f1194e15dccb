// SPDX-License-Identifier: MIT
//
// The grammar is RFC 8259's, with comments as JavaScript has them. What is in a document is read
// here; what is odd about a single text or number is nlohmann_json's, so that both always agree.
#include "base/daemon/json.h"

#include "base/daemon/json_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

namespace proxyd {
namespace {

constexpr std::string_view ByteOrderMark = "\xef\xbb\xbf";

// A value is read and destroyed by recursion, and nobody nests as deep.
constexpr int DepthMax = 64;

class Parser {
  public:
    Parser(std::string_view text, JsonDocument& document)
        : at_(text.data()), end_(text.data() + text.size()), document_(document) {}

    bool parse() {
        if (rest().find('\0') != rest().npos) return false;
        if (rest().starts_with(ByteOrderMark)) at_ += ByteOrderMark.size();
        return skip_blank() && parse_value(document_.root) && skip_blank() && at_ == end_;
    }
    // The line where it was nested too deeply, if that is what was wrong.
    std::optional<int> too_deep_at() const { return too_deep_at_; }

  private:
    std::string_view rest() const { return {at_, static_cast<size_t>(end_ - at_)}; }
    bool is_at(char c) const { return at_ != end_ && *at_ == c; }
    bool take(char c) {
        if (!is_at(c)) return false;
        at_++;
        return true;
    }
    bool take(std::string_view word) {
        if (!rest().starts_with(word)) return false;
        at_ += word.size();
        return true;
    }

    // False if a comment doesn't end.
    bool skip_blank() {
        for (; at_ != end_; at_++) {
            if (*at_ == '\n')
                line_++;
            else if (*at_ == '/') {
                if (!skip_comment()) return false;
                if (at_ == end_) return true;
            } else if (*at_ != ' ' && *at_ != '\t' && *at_ != '\r')
                return true;
        }
        return true;
    }

    // Ends at its last character, or before the line end, which is counted as any other; or at the
    // end of all.
    bool skip_comment() {
        if (take("//")) {
            at_ += std::min(rest().find_first_of("\r\n"), rest().size());
            if (at_ != end_) at_--;
            return true;
        }
        if (!take("/*")) return false;
        const size_t size = rest().find("*/");
        if (size == rest().npos) return false;
        line_ += static_cast<int>(std::count(at_, at_ + size, '\n'));
        at_ += size + 1;
        return true;
    }

    bool parse_value(JsonValue& value) {
        value.line = line_;
        if (at_ == end_) return false;
        switch (*at_) {
            case '"': {
                std::string_view text;
                if (!parse_string(text)) return false;
                value.value = text;
                return true;
            }
            case '{':
                return open() && parse_object(value.value.emplace<JsonValue::Object>());
            case '[':
                return open() && parse_array(value.value.emplace<JsonValue::Array>());
            case 't':
                value.value = true;
                return take("true");
            case 'f':
                value.value = false;
                return take("false");
            case 'n':
                return take("null");
            default:
                return parse_number(value);
        }
    }

    // At the bracket that opens a container.
    bool open() {
        if (depth_ == DepthMax) {
            too_deep_at_ = line_;
            return false;
        }
        depth_++;
        at_++;
        return skip_blank();
    }
    bool close() {
        depth_--;
        at_++;
        return true;
    }

    bool parse_object(JsonValue::Object& object) {
        if (is_at('}')) return close();
        do {
            if (!skip_blank() || !is_at('"')) return false;
            JsonMember& member = object.emplace_back();
            member.key_line = line_;
            if (!parse_string(member.key) || !skip_blank() || !take(':') || !skip_blank() ||
                !parse_value(member.value) || !skip_blank())
                return false;
        } while (take(','));
        return is_at('}') && close();
    }

    bool parse_array(JsonValue::Array& array) {
        if (is_at(']')) return close();
        do {
            if (!skip_blank() || !parse_value(array.emplace_back()) || !skip_blank()) return false;
        } while (take(','));
        return is_at(']') && close();
    }

    // Refers to the file, if all characters stand for themselves.
    bool parse_string(std::string_view& text) {
        const char* const begin = at_;
        bool is_plain = true;
        for (at_++; at_ != end_ && *at_ != '"'; at_++) {
            const auto byte = static_cast<unsigned char>(*at_);
            if (byte < 0x20) return false;
            if (byte != '\\' && byte < 0x80) continue;
            is_plain = false;
            if (byte == '\\' && ++at_ == end_) return false;
        }
        if (!take('"')) return false;
        const std::string_view token(begin, static_cast<size_t>(at_ - begin));
        text = token.substr(1, token.size() - 2);
        return is_plain || decode(token, text);
    }

    bool decode(std::string_view token, std::string_view& text) {
        auto decoded = nlohmann::json::parse(token, nullptr, false);
        if (!decoded.is_string()) return false;
        text = *document_.decoded.emplace_front(
            std::make_unique<const std::string>(std::move(decoded.get_ref<std::string&>())));
        return true;
    }

    bool parse_number(JsonValue& value) {
        const std::string_view token =
            rest().substr(0, rest().find_first_not_of("+-.0123456789Ee"));
        at_ += token.size();
        const auto number = nlohmann::json::parse(token, nullptr, false);
        const bool is_too_large =
            number.is_number_unsigned() && number.get<uint64_t>() > uint64_t{INT64_MAX};
        if (number.is_number_integer() && !is_too_large)
            value.value = number.get<int64_t>();
        else if (number.is_number())
            value.value = number.get<double>();
        return number.is_number();
    }

    const char* at_;
    const char* const end_;
    JsonDocument& document_;
    int line_ = 1;
    int depth_ = 0;
    std::optional<int> too_deep_at_;
};

}  // namespace

std::string_view JsonValue::type_words() const {
    struct Words {
        std::string_view operator()(std::nullptr_t) { return "null"; }
        std::string_view operator()(bool) { return "a boolean"; }
        std::string_view operator()(int64_t) { return "a number"; }
        std::string_view operator()(double) { return "a number"; }
        std::string_view operator()(std::string_view) { return "a string"; }
        std::string_view operator()(const Array&) { return "an array"; }
        std::string_view operator()(const Object&) { return "an object"; }
    };
    return std::visit(Words{}, value);
}

Result<JsonDocument, JsonError> parse_json(std::string_view text) {
    JsonDocument document;
    Parser parser(text, document);
    if (parser.parse()) return document;
    if (parser.too_deep_at())
        return Unexpected{
            JsonError{*parser.too_deep_at(), fmt::format("nested deeper than {}", DepthMax)}};
    return Unexpected{json_error_of(text)};
}

}  // namespace proxyd
