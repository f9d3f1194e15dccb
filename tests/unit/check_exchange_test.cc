// SPDX-License-Identifier: MIT
#include "tcpshim/check_exchange.h"

#include "proxyd/hello.h"
#include "tests/unit/catch.h"

#include <array>
#include <string>

using namespace proxyd;
using namespace proxyd::shim;
using namespace std::string_literals;

namespace {

constexpr std::array<uint8_t, CheckRandomBytes> Random{0x17};

std::string request(const CheckConfiguration& check, std::string_view name,
                    ProxyProtocolVersion proxy_protocol = ProxyProtocolVersion::None) {
    return make_check_request(check, proxy_protocol, name, Random);
}

Bytes bytes_of(const std::string& text) {
    return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// "good: TEXT", "bad: TEXT" or "more".
std::string judge(const CheckConfiguration& check, const std::string& reply, bool is_end = false) {
    const auto verdict = judge_check_reply(check, bytes_of(reply), is_end);
    if (!verdict) return "more";
    return (verdict->is_good ? "good: " : "bad: ") + verdict->text;
}

CheckConfiguration check_of(CheckKind kind) {
    CheckConfiguration check;
    check.kind = kind;
    return check;
}

const CheckConfiguration Tls = check_of(CheckKind::Tls);
const CheckConfiguration Http = check_of(CheckKind::Http);

}  // namespace

TEST_CASE("check exchange: connecting is enough for the simplest check", "[check_exchange]") {
    const CheckConfiguration check = check_of(CheckKind::Connect);
    CHECK(request(check, "nas.lan").empty());
    CHECK(judge(check, "") == "good: connected");
}

TEST_CASE("check exchange: any handshake record is TLS's good answer", "[check_exchange]") {
    CHECK(judge(Tls, "\x16\x03\x03"s) == "good: TLS handshake");
    CHECK(judge(Tls, "\x15\x03\x03\x00\x02\x02\x28"s) == "bad: TLS alert 40");
    CHECK(judge(Tls, "\x15\x03\x03\x00\x02\x02"s) == "more");
    CHECK(judge(Tls, "\x15\x03\x03\x00\x02\x02"s, true) == "bad: closed without an answer");
    CHECK(judge(Tls, "") == "more");
    CHECK(judge(Tls, "\x16\x03"s) == "more");
    CHECK(judge(Tls, "\x16\x03"s, true) == "bad: closed without an answer");
    CHECK(judge(Tls, "", true) == "bad: closed without an answer");
    CHECK(judge(Tls, "HTTP/1.1 400") == "bad: no TLS");
}

TEST_CASE("check exchange: HTTP's good answer has a status between two numbers",
          "[check_exchange]") {
    CHECK(judge(Http, "HTTP/1.1 200 OK\r\n") == "good: HTTP 200");
    CHECK(judge(Http, "HTTP/1.0 399") == "good: HTTP 399");
    CHECK(judge(Http, "HTTP/1.1 199") == "bad: HTTP 199");
    CHECK(judge(Http, "HTTP/1.1 400") == "bad: HTTP 400");
    CHECK(judge(Http, "HTTP/1.1 20") == "more");
    CHECK(judge(Http, "HTTP/1.1 20", true) == "bad: closed without an answer");
    CHECK(judge(Http, "") == "more");
    CHECK(judge(Http, "", true) == "bad: closed without an answer");
    CHECK(judge(Http, "HTTP/1.1 2x0") == "bad: no HTTP");
    CHECK(judge(Http, "HTTP/1.1  20") == "bad: no HTTP");
    CHECK(judge(Http, "SSH-2.0-") == "bad: no HTTP");
}

TEST_CASE("check exchange: asks for a path of a host", "[check_exchange]") {
    CheckConfiguration check = Http;
    check.path = "/health";
    CHECK(request(check, "nas.lan") ==
          "GET /health HTTP/1.1\r\nHost: nas.lan\r\nUser-Agent: tcpshim\r\nAccept: */*\r\n"
          "Connection: close\r\n\r\n");
    CHECK(request(check, "2001:db8::1").find("Host: [2001:db8::1]\r\n") != std::string::npos);
}

TEST_CASE("check exchange: its hello has the name that it is for, if it is no address",
          "[check_exchange]") {
    const std::string with = request(Tls, "nas.lan");
    const HelloOutcome outcome = parse_client_hello(bytes_of(with));
    REQUIRE(std::holds_alternative<Hello>(outcome));
    REQUIRE(std::get<Hello>(outcome).name);
    CHECK(std::get<Hello>(outcome).name->view() == "nas.lan");
    for (const std::string_view address : {"192.0.2.1", "2001:db8::1", ""}) {
        const std::string without = request(Tls, address);
        const HelloOutcome nameless = parse_client_hello(bytes_of(without));
        REQUIRE(std::holds_alternative<Hello>(nameless));
        CHECK_FALSE(std::get<Hello>(nameless).name);
    }
}

TEST_CASE("check exchange: a backend that wants the PROXY protocol gets its header first",
          "[check_exchange]") {
    const std::string plain = request(Http, "nas.lan");
    CHECK(request(Http, "nas.lan", ProxyProtocolVersion::V1) == "PROXY UNKNOWN\r\n" + plain);
    CHECK(request(Http, "nas.lan", ProxyProtocolVersion::V2) ==
          "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"s + plain);
    CHECK(request(Tls, "nas.lan", ProxyProtocolVersion::V1) ==
          "PROXY UNKNOWN\r\n" + request(Tls, "nas.lan"));
}
