// SPDX-License-Identifier: MIT
#include "base/daemon/json.h"

#include "tests/unit/catch.h"

#include <nlohmann/json.hpp>

using namespace std::string_view_literals;
using proxyd::JsonValue;
using proxyd::parse_json;

namespace {

const JsonValue::Object& object_of(const JsonValue& value) {
    return *value.as<JsonValue::Object>();
}

}  // namespace

TEST_CASE("JSON: every key and value knows its line", "[json]") {
    const auto document = parse_json(
        "{\n"
        "  \"string\": \"x\",\n"
        "  \"number\":\n"
        "    42\n"
        "  ,\"array\": [1,\n"
        "    2,\n"
        "    true\n"
        "  ],\n"
        "  \"object\": {\n"
        "    \"inner\": null }\n"
        "}");

    REQUIRE(document.has_value());
    const auto& root = object_of(document->root);
    REQUIRE(root.size() == 4);
    CHECK(root[0].key_line == 2);
    CHECK(root[0].value.line == 2);
    CHECK(root[1].key_line == 3);
    CHECK(root[1].value.line == 4);
    CHECK(*root[1].value.as<int64_t>() == 42);
    const auto& array = *root[2].value.as<JsonValue::Array>();
    CHECK(array[0].line == 5);
    CHECK(array[1].line == 6);
    CHECK(array[2].line == 7);
    CHECK(root[3].value.line == 9);
    CHECK(object_of(root[3].value)[0].key_line == 10);
}

TEST_CASE("JSON: the line of a number that ends its line is that line", "[json]") {
    const auto document = parse_json("[1\n,2\n]");

    REQUIRE(document.has_value());
    const auto& array = *document->root.as<JsonValue::Array>();
    CHECK(array[0].line == 1);
    CHECK(array[1].line == 2);
}

TEST_CASE("JSON: comments are allowed and count as lines", "[json]") {
    const auto document = parse_json("// first\n{ /* two\nlines */ \"a\": 1 }");

    REQUIRE(document.has_value());
    CHECK(object_of(document->root)[0].key_line == 3);
}

TEST_CASE("JSON: duplicate keys are kept for the reader to judge", "[json]") {
    const auto document = parse_json("{\"a\": 1,\n\"a\": 2}");

    REQUIRE(document.has_value());
    const auto& root = object_of(document->root);
    REQUIRE(root.size() == 2);
    CHECK(root[1].key_line == 2);
}

TEST_CASE("JSON: a syntax error is told with its line", "[json]") {
    const auto document = parse_json("{\n  \"a\": 1,\n  b: 2\n}");

    REQUIRE_FALSE(document.has_value());
    CHECK(document.error().line == 3);
    CHECK_FALSE(document.error().text.empty());
}

TEST_CASE("JSON: what is nested deeply is an error, however deep", "[json]") {
    const auto nested = [](size_t depth) {
        return parse_json("\n" + std::string(depth, '[') + std::string(depth, ']'));
    };
    CHECK(nested(64).has_value());
    for (const size_t depth : {size_t{65}, size_t{1'000'000}}) {
        CHECK(nested(depth).error().line == 2);
        CHECK(nested(depth).error().text == "nested deeper than 64");
    }
}

TEST_CASE("JSON: what is cut short or followed by more is an error", "[json]") {
    CHECK_FALSE(parse_json("").has_value());
    CHECK_FALSE(parse_json("{\"a\": ").has_value());
    CHECK_FALSE(parse_json("{} {}").has_value());
    CHECK_FALSE(parse_json("{\"a\": 1,}").has_value());
}

TEST_CASE("JSON: a number too large for 64 bits is no integer", "[json]") {
    const auto document = parse_json("[9223372036854775807, 9223372036854775808, 1.5]");

    REQUIRE(document.has_value());
    const auto& array = *document->root.as<JsonValue::Array>();
    CHECK(array[0].as<int64_t>() != nullptr);
    CHECK(array[1].as<int64_t>() == nullptr);
    CHECK(array[1].as<double>() != nullptr);
    CHECK(array[2].as<double>() != nullptr);
}

TEST_CASE("JSON: types have words for messages", "[json]") {
    const auto document = parse_json("[null, true, 1, 1.5, \"\", [], {}]");

    REQUIRE(document.has_value());
    const auto& array = *document->root.as<JsonValue::Array>();
    CHECK(array[0].type_words() == "null");
    CHECK(array[1].type_words() == "a boolean");
    CHECK(array[2].type_words() == "a number");
    CHECK(array[3].type_words() == "a number");
    CHECK(array[4].type_words() == "a string");
    CHECK(array[5].type_words() == "an array");
    CHECK(array[6].type_words() == "an object");
}

TEST_CASE("JSON: texts with escapes and beyond ASCII are decoded", "[json]") {
    const auto document =
        parse_json(R"({"a\tb": "\u00e9\"\\", "grün": "plain", "\ud83d\ude00": 1})");

    REQUIRE(document.has_value());
    const auto& root = object_of(document->root);
    CHECK(root[0].key == "a\tb");
    CHECK(*root[0].value.as<std::string_view>() == "é\"\\");
    CHECK(root[1].key == "grün");
    CHECK(*root[1].value.as<std::string_view>() == "plain");
    CHECK(root[2].key == "\xf0\x9f\x98\x80");
}

TEST_CASE("JSON: a NUL byte is an error at its line, wherever it stands", "[json]") {
    const auto document = parse_json("{}\n\0"sv);

    CHECK(document.error().line == 2);
    CHECK(document.error().text == "has a NUL byte in it");
}

// nlohmann_json is asked whether each text is JSON, and what is in it.
TEST_CASE("JSON: is what nlohmann_json takes for JSON, and nothing else", "[json]") {
    // clang-format off
    const std::vector<std::string_view> texts = {
        "null", "true", "false", "tru", "truex", "nul", "0", "-0", "-", "01", "1.5", "1.", ".5",
        "1e3", "1e", "1e400", "-1E-3", "+1", "1-2", "1a", "18446744073709551616", "\"\"", "\"a",
        "\"\\\"", "\"\\\\\"", "\"\\x\"", "\"\\ud800\"", "\"\\u12\"", "\"\xff\"", "\"\xc3\xa9\"",
        "\"\xc0\x80\"", "\"a\nb\"", "\"a\tb\"", "\"\x7f\"", "[]", "[ ]", "[1]", "[1,]", "[,]",
        "[1 2]", "[1,2", "[", "]", "[[],{}]", "{}", "{ }", "{\"a\":1}", "{\"a\" : 1 , \"b\":[]}",
        "{\"a\":1,}", "{,}", "{\"a\"}", "{\"a\":}", "{a:1}", "{\"a\":1 \"b\":2}", "{1:1}", "{",
        "}", "// c\n1", "1// c", "1 // c", "/**/1", "/* * / */1/**/", "/*/1", "/* ", "/", "1/",
        "/ /1", "//", "// a\r1", "[/*,*/1/**/,/**/2//\n]", "{/**/\"a\"/**/:/**/1/**/}",
        "\xef\xbb\xbf{}", "\xef\xbb{}", "{}\xef\xbb\xbf", "\v1", "\f1", "\r\n\t 1", "'a'", "NaN",
        "[1]x", "{} {}",
    };
    // clang-format on
    for (const std::string_view text : texts) {
        INFO(text);
        const auto expected = nlohmann::json::parse(text, nullptr, false, true);
        const auto document = parse_json(text);
        CHECK(document.has_value() == !expected.is_discarded());
        if (document && !expected.is_discarded())
            CHECK(document->root.type_words().find(
                      std::string_view(expected.type_name()).substr(0, 4)) != std::string::npos);
    }
}
