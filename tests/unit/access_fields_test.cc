// SPDX-License-Identifier: MIT
#include "base/daemon/access_fields.h"

#include "tests/unit/catch.h"

using namespace proxyd;

namespace {

template <typename Fields>
void put_all(Fields fields) {
    fields.text("word", "some");
    fields.text("none", "");
    fields.raw("name", "a b");
    fields.raw("dash", "-");
    fields.escaped("alpn", "h2");
    fields.path("site", "/a", "443.sock");
    fields.path("route", "", "");
    fields.number("us", 7);
    fields.number("later_us", std::nullopt);
}

}  // namespace

TEST_CASE("access fields: as text", "[access_fields]") {
    std::string out;
    put_all(TextFields(out));
    CHECK(out ==
          " word=some none=- name=a\\x20b dash=\\x2d alpn=h2 site=/a/443.sock route=- us=7 "
          "later_us=-");
}

TEST_CASE("access fields: as JSON", "[access_fields]") {
    std::string out;
    put_all(JsonFields(out));
    CHECK(out ==
          ",\"word\":\"some\",\"none\":null,\"name\":\"a\\\\x20b\",\"dash\":\"-\",\"alpn\":\"h2\","
          "\"site\":\"/a/443.sock\",\"route\":null,\"us\":7,\"later_us\":null");
}

TEST_CASE("access fields: as lines of the journal, with a prefix", "[access_fields]") {
    std::string out;
    put_all(JournalFields(out, "RELAY_"));
    CHECK(out ==
          "RELAY_WORD=some\nRELAY_NAME=a\\x20b\nRELAY_DASH=-\nRELAY_ALPN=h2\n"
          "RELAY_SITE=/a/443.sock\nRELAY_US=7\n");
}
