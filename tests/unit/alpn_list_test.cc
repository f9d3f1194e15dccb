// SPDX-License-Identifier: MIT
#include "proxyd/alpn_list.h"

#include "tests/support/client_hello_builder.h"
#include "tests/unit/catch.h"

namespace proxyd {
namespace {

using test::Buffer;
using test::protocol_names;

std::string text_of(const AlpnList& list) {
    std::string text;
    list.append_to(text);
    return text;
}

TEST_CASE("a list that nothing was put into is empty", "[alpn_list]") {
    const AlpnList list;
    CHECK(list.is_empty());
    CHECK(list.first().empty());
    CHECK_FALSE(list.contains(""));
    CHECK(text_of(list).empty());
}

TEST_CASE("one after another may be added, as long as there is room", "[alpn_list]") {
    AlpnList list;
    CHECK(list.add("h2"));
    CHECK_FALSE(list.add(""));
    CHECK_FALSE(list.add(std::string(256, 'x')));
    CHECK(list.add(std::string(AlpnList::BytesMax - 4, 'x')));
    CHECK_FALSE(list.add("y"));
    CHECK(list.first() == "h2");
    CHECK(text_of(list) == "h2," + std::string(AlpnList::BytesMax - 4, 'x'));
}

TEST_CASE("keeps the client's order", "[alpn_list]") {
    const AlpnList list = AlpnList::copy_of(protocol_names({"h2", "http/1.1", "http/1.0"}));
    CHECK_FALSE(list.is_empty());
    CHECK(list.first() == "h2");
    CHECK(text_of(list) == "h2,http/1.1,http/1.0");
}

TEST_CASE("finds a protocol by its whole name only", "[alpn_list]") {
    const AlpnList list = AlpnList::copy_of(protocol_names({"h2", "http/1.1"}));
    CHECK(list.contains("h2"));
    CHECK(list.contains("http/1.1"));
    CHECK_FALSE(list.contains("http/1"));
    CHECK_FALSE(list.contains("h"));
    CHECK_FALSE(list.contains(""));
}

TEST_CASE("appends behind what is there", "[alpn_list]") {
    std::string text = "alpn=";
    AlpnList::copy_of(protocol_names({"h2"})).append_to(text);
    CHECK(text == "alpn=h2");
}

TEST_CASE("one protocol with a comma looks unlike two", "[alpn_list]") {
    CHECK(text_of(AlpnList::copy_of(protocol_names({"h2,http/1.1", ",", "a b"}))) ==
          "h2\\x2chttp/1.1,\\x2c,a\\x20b");
}

TEST_CASE("keeps bytes that are no characters", "[alpn_list]") {
    const std::string_view grease("\x0a\x0a\0", 3);
    CHECK(AlpnList::copy_of(protocol_names({grease})).first() == grease);
}

TEST_CASE("holds the longest protocol there can be, and drops what is more from the end",
          "[alpn_list]") {
    const std::string longest(255, 'a'), fills_up(252, 'b');
    CHECK(AlpnList::copy_of(protocol_names({longest})).first() == longest);
    CHECK(text_of(AlpnList::copy_of(protocol_names({"h2", fills_up}))) == "h2," + fills_up);
    CHECK(text_of(AlpnList::copy_of(protocol_names({"h2", fills_up + "b", "x"}))) == "h2");
}

}  // namespace
}  // namespace proxyd
