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

TEST_CASE("refusal: who is in no list of those who may come is told so", "[refusal]") {
    CHECK(refusal_answer(Protocol::Tls, Refusal::Forbidden, "x") == "\x15\x03\x03\0\x02\x02\x31"s);
    CHECK(refusal_answer(Protocol::Http, Refusal::Forbidden, "route_deny") ==
          "HTTP/1.1 403 Forbidden\r\n"
          "Content-Type: text/plain\r\n"
          "Content-Length: 52\r\n"
          "Connection: close\r\n"
          "\r\n"
          "proxyd: your address may not come here (route_deny)\n");
}

TEST_CASE("refusal: others can't be told", "[refusal]") {
    CHECK(refusal_answer(Protocol::Unknown, Refusal::Malformed, "protocol_unknown").empty());
}
