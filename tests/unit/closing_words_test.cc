// SPDX-License-Identifier: MIT
#include "tcpshim/closing_words.h"

#include "tests/unit/catch.h"

using namespace std::string_literals;
using namespace proxyd::shim;

TEST_CASE("closing_words: TLS clients get internal_error", "[closing_words]") {
    CHECK(closing_words(ClientSpeaks::Tls, ConnectFailure::Refused) == "\x15\x03\x03\0\x02\x02P"s);
}

TEST_CASE("closing_words: HTTP clients get a whole response that says why", "[closing_words]") {
    CHECK(closing_words(ClientSpeaks::Http, ConnectFailure::TimedOut) ==
          "HTTP/1.1 504 Gateway Timeout\r\n"
          "Content-Type: text/plain\r\n"
          "Content-Length: 65\r\n"
          "Connection: close\r\n"
          "\r\n"
          "tcpshim: the server behind this name does not answer (timed_out)\n");
    const auto status_of = [](ConnectFailure failure) {
        return closing_words(ClientSpeaks::Http, failure).substr(9, 3);
    };
    CHECK(status_of(ConnectFailure::Refused) == "502");
    CHECK(status_of(ConnectFailure::ClosedEarly) == "502");
    CHECK(status_of(ConnectFailure::NotResolved) == "502");
    CHECK(status_of(ConnectFailure::Unreachable) == "502");
    CHECK(status_of(ConnectFailure::Full) == "503");
    CHECK(status_of(ConnectFailure::NoneUp) == "503");
    CHECK(status_of(ConnectFailure::Local) == "503");
    CHECK(status_of(ConnectFailure::Loop) == "508");
}

TEST_CASE("closing_words: others are only closed", "[closing_words]") {
    CHECK(closing_words(ClientSpeaks::Nothing, ConnectFailure::Refused).empty());
    CHECK(closing_words(ClientSpeaks::Other, ConnectFailure::Refused).empty());
}
