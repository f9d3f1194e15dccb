// SPDX-License-Identifier: MIT
#include "proxyd/refusal.h"

#include "tests/unit/catch.h"

using namespace std::string_literals;
using proxyd::Protocol;
using proxyd::Refusal;
using proxyd::refusal_answer;

TEST_CASE("refusal: TLS clients get a fatal alert in a record of its own", "[refusal]") {
    CHECK(refusal_answer(Protocol::Tls, Refusal::NoRoute, "no_route") ==
          "\x15\x03\x03\0\x02\x02p"s);
    CHECK(refusal_answer(Protocol::Tls, Refusal::SiteTrouble, "x") == "\x15\x03\x03\0\x02\x02P"s);
    CHECK(refusal_answer(Protocol::Tls, Refusal::Malformed, "x") == "\x15\x03\x03\0\x02\x02\x32"s);
}

TEST_CASE("refusal: HTTP clients get a whole response with the reason in one line", "[refusal]") {
    CHECK(refusal_answer(Protocol::Http, Refusal::NoRoute, "no_route") ==
          "HTTP/1.1 421 Misdirected Request\r\n"
          "Content-Type: text/plain\r\n"
          "Content-Length: 41\r\n"
          "Connection: close\r\n"
          "\r\n"
          "proxyd: no site has this name (no_route)\n");
}

TEST_CASE("refusal: who asks for an address is told to ask for a name", "[refusal]") {
    CHECK(refusal_answer(Protocol::Http, Refusal::Address, "name_is_ip_literal")
              .ends_with("proxyd: ask for a name, not for an IP address (name_is_ip_literal)\n"));
}

TEST_CASE("refusal: HTTP/2 clients get a response on the stream of their request", "[refusal]") {
    CHECK(refusal_answer(Protocol::Http2, Refusal::NoRoute, "no_route", 13) ==
          "\0\0\0\x04\0\0\0\0\0"s        // SETTINGS
          "\0\0\0\x04\x01\0\0\0\0"s      // its acknowledgement of the client's
          "\0\0\x17\x01\x04\0\0\0\x0d"s  // HEADERS, END_HEADERS
          "\x08\x03"
          "421"s  // :status
          "\x0f\x10\x0a"
          "text/plain"s  // content-type
          "\x0f\x0d\x02"
          "41"s                        // content-length
          "\0\0\x29\0\x01\0\0\0\x0d"s  // DATA, END_STREAM
          "proxyd: no site has this name (no_route)\n"s
          "\0\0\x08\x07\0\0\0\0\0"s  // GOAWAY
          "\0\0\0\x0d\0\0\0\0"s);    // the last stream, NO_ERROR
}

TEST_CASE("refusal: an HTTP/2 client without a request gets GOAWAY", "[refusal]") {
    CHECK(refusal_answer(Protocol::Http2, Refusal::Malformed, "h2_preface") ==
          "\0\0\0\x04\0\0\0\0\0"s
          "\0\0\x3e\x07\0\0\0\0\0"s
          "\0\0\0\0\0\0\0\x01"s  // no stream, PROTOCOL_ERROR
          "proxyd: this request can't be understood (h2_preface)\n");
    CHECK(refusal_answer(Protocol::Http2, Refusal::Limit, "sessions_max").substr(18, 8) ==
          "\0\0\0\0\0\0\0\0"s);
}

TEST_CASE("refusal: SSH clients get a disconnect message in whole blocks", "[refusal]") {
    const std::string answer = refusal_answer(Protocol::Ssh, Refusal::NoRoute, "no_route");
    const std::string version = "SSH-2.0-proxyd\r\n";
    REQUIRE(answer.starts_with(version));
    CHECK(answer.substr(version.size()) ==
          "\0\0\0\x3c\x05"s  // the packet's length, and that of the padding
          "\x01\0\0\0\x07\0\0\0\x29"s
          "proxyd: SSH is not served here (no_route)"s
          "\0\0\0\0"s +
              std::string(5, '\0'));
    CHECK((answer.size() - version.size()) % 8 == 0);
}

TEST_CASE("refusal: who is in no list of those who may come is told so", "[refusal]") {
    CHECK(refusal_answer(Protocol::Tls, Refusal::Forbidden, "x") == "\x15\x03\x03\0\x02\x02\x31"s);
    CHECK(refusal_answer(Protocol::Http, Refusal::Forbidden, "x").starts_with("HTTP/1.1 403 "));
}

TEST_CASE("refusal: others can't be told", "[refusal]") {
    CHECK(refusal_answer(Protocol::Unknown, Refusal::Malformed, "x").empty());
    CHECK(refusal_answer(Protocol::Other, Refusal::Malformed, "protocol_unknown").empty());
    CHECK(refusal_answer(Protocol::Silent, Refusal::SiteTrouble, "site_absent").empty());
}
