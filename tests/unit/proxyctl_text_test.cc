// SPDX-License-Identifier: MIT
#include "proxyctl/text.h"
#include "tests/unit/catch.h"

using namespace proxyd;

TEST_CASE("proxyctl_text: durations for people", "[proxyctl_text]") {
    CHECK(duration_text(0) == "0ms");
    CHECK(duration_text(999) == "999ms");
    CHECK(duration_text(1000) == "1.0s");
    CHECK(duration_text(59'999) == "59.9s");
    CHECK(duration_text(60'000) == "1m00s");
    CHECK(duration_text(3'599'999) == "59m59s");
    CHECK(duration_text(3'600'000) == "1h00m");
    CHECK(duration_text(86'399'999) == "23h59m");
    CHECK(duration_text(86'400'000) == "1d00h");
}

TEST_CASE("proxyctl_text: nothing reaches the terminal that it could obey", "[proxyctl_text]") {
    CHECK(printable_text("plain *.example.org~") == "plain *.example.org~");
    CHECK(printable_text("\x1b[2J\n\x7f\xc2\x9b") == "\\x1b[2J\\x0a\\x7f\\xc2\\x9b");
}

TEST_CASE("proxyctl_text: fields", "[proxyctl_text]") {
    const auto object = nlohmann::ordered_json::parse(
        R"({"text":"a\u0007","none":null,"empty":"","number":7,"flag":true,"list":[1,{"a":2}]})");
    CHECK(shown(object, "text") == "a\\x07");
    CHECK(shown(object, "none") == "-");
    CHECK(shown(object, "empty") == "-");
    CHECK(shown(object, "absent") == "-");
    CHECK(shown(object, "number") == "7");
    CHECK(shown(object, "flag") == "yes");
    CHECK(number_at(object, "number") == 7);
    CHECK(number_at(object, "text") == 0);
    CHECK(text_at(object, "number") == "");
    CHECK(objects_at(object, "list").size() == 1);
    CHECK(objects_at(object, "text").empty());
}

TEST_CASE("proxyctl_text: columns", "[proxyctl_text]") {
    Table table({"NAME", ">COUNT", "NOTE"});
    table.add({"a", "1", ""});
    table.add({"longer", "1000", "x"});
    CHECK(table.text() ==
          "NAME    COUNT  NOTE\n"
          "a           1\n"
          "longer   1000  x\n");
}
