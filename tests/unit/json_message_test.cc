// SPDX-License-Identifier: MIT
#include "base/daemon/json_message.h"

#include "tests/unit/catch.h"

#include <string>

using proxyd::parse_json_message;

namespace {

// {"a":[[...]]} with so many levels in all.
std::string nested(size_t levels) {
    return "{\"a\":" + std::string(levels - 1, '[') + std::string(levels - 1, ']') + "}";
}

}  // namespace

TEST_CASE("json message: an object in a line", "[json_message]") {
    const auto message = parse_json_message(R"({"do":"ping","id":7})");
    REQUIRE(message.has_value());
    CHECK((*message)["id"] == 7);
    CHECK_FALSE(parse_json_message("").has_value());
    CHECK_FALSE(parse_json_message("[1]").has_value());
    CHECK_FALSE(parse_json_message("7").has_value());
    CHECK_FALSE(parse_json_message(R"({"do":)").has_value());
}

TEST_CASE("json message: nested up to a bound, and no deeper", "[json_message]") {
    CHECK(parse_json_message(nested(proxyd::JsonDepthMax)).has_value());
    CHECK_FALSE(parse_json_message(nested(proxyd::JsonDepthMax + 1)).has_value());
    CHECK_FALSE(parse_json_message(nested(400'000)).has_value());
}

TEST_CASE("json message: brackets in strings don't count", "[json_message]") {
    const std::string brackets = "{\"a\":\"\\\"" + std::string(1000, '[') + "\"}";
    const auto message = parse_json_message(brackets);
    REQUIRE(message.has_value());
    CHECK((*message)["a"].get<std::string>().size() == 1001);
}
