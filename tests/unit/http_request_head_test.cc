// SPDX-License-Identifier: MIT
#include "proxyd/hello.h"
#include "tests/support/client_hello_builder.h"
#include "tests/support/hello_text.h"
#include "tests/unit/catch.h"

#include <string>

namespace proxyd {
namespace {

std::string parsed(std::string_view head) {
    return test::text_of(parse_http_request_head(test::bytes_of(head)));
}

// A request with this Host line (without its end) beside others.
std::string parsed_with_line(const std::string& line) {
    return parsed("GET / HTTP/1.1\r\nAccept: */*\r\n" + line + "\r\nX: y\r\n\r\n");
}

std::string parsed_host(const std::string& value) {
    return parsed_with_line("Host: " + value);
}

std::string parsed_target(const std::string& target, const std::string& host) {
    return parsed("GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
}

TEST_CASE("finds Host wherever it stands", "[http_request_head]") {
    CHECK(parsed("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n") == "name=example.org");
    CHECK(parsed("GET / HTTP/1.1\r\nHost: example.org\r\nA: b\r\n\r\n") == "name=example.org");
    CHECK(parsed("GET / HTTP/1.1\r\nA: b\r\nC: d\r\nHost: example.org\r\n\r\n") ==
          "name=example.org");
}

TEST_CASE("finds Host in any case", "[http_request_head]") {
    CHECK(parsed_with_line("host: Example.ORG") == "name=example.org");
    CHECK(parsed_with_line("HOST: example.org.") == "name=example.org");
    CHECK(parsed_with_line("hOsT:example.org") == "name=example.org");
}

TEST_CASE("white space around a value is none of it", "[http_request_head]") {
    CHECK(parsed_with_line("Host:  \t example.org \t ") == "name=example.org");
    CHECK(parsed_with_line("Host:\texample.org") == "name=example.org");
    CHECK(parsed_with_line("Host: a b") == "name_has_forbidden_character: a b");
}

TEST_CASE("a header that is called nearly like Host is another one", "[http_request_head]") {
    CHECK(parsed_with_line("Hosts: example.org") == "http_host_missing");
    CHECK(parsed_with_line("X-Host: example.org") == "http_host_missing");
    CHECK(parsed_with_line("Hos: example.org") == "http_host_missing");
}

TEST_CASE("a line ends with LF or CR LF", "[http_request_head]") {
    CHECK(parsed("GET / HTTP/1.1\nHost: example.org\n\n") == "name=example.org");
    CHECK(parsed("GET / HTTP/1.1\r\nHost: example.org\n\r\n") == "name=example.org");
}

TEST_CASE("one empty line may stand before the request line", "[http_request_head]") {
    CHECK(parsed("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n") == "name=a");
    CHECK(parsed("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n") == "name=a");
    CHECK(parsed("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n") == "http_request_line");
}

TEST_CASE("truncated anywhere, a head is incomplete", "[http_request_head]") {
    const std::string head = "\r\nPOST http://a/b?c HTTP/1.1\r\nX:\r\nHost: a:80\nY: \xff\r\n\r\n";
    CHECK(parsed(head) == "name=a");
    for (size_t size = 0; size < head.size(); size++) {
        CAPTURE(size);
        const HelloOutcome outcome =
            parse_http_request_head(test::bytes_of(std::string_view(head).substr(0, size)));
        REQUIRE(std::holds_alternative<NeedMore>(outcome));
        CHECK(std::get<NeedMore>(outcome).bytes_min == size + 1);
    }
}

TEST_CASE("the body is not looked at", "[http_request_head]") {
    const std::string head = "POST / HTTP/1.1\r\nHost: a\r\n\r\n";
    CHECK(parsed(head + std::string(1, '\0') + "\r\nHost: b\r\n\r\n") == "name=a");
}

TEST_CASE("a request line is method, target and version", "[http_request_head]") {
    for (const char* line : {"",
                             "GET",
                             "GET /",
                             "GET / ",
                             "GET  HTTP/1.1",
                             " GET / HTTP/1.1",
                             "GET  / HTTP/1.1",
                             "GET /  HTTP/1.1",
                             "GET / HTTP/1.1 ",
                             "GET / x HTTP/1.1",
                             "GET /\tx HTTP/1.1",
                             "GET\t/ HTTP/1.1",
                             "G(T / HTTP/1.1",
                             "GET / HTTP/1",
                             "GET / HTTP/11",
                             "GET / HTTP/1.",
                             "GET / HTTP/1.10",
                             "GET / HTTP/a.1",
                             "GET / HTTP/1.a",
                             "GET / http/1.1",
                             "GET / XTTP/1.1"}) {
        CAPTURE(line);
        CHECK(parsed("\r\n" + std::string(line) + "\r\nHost: a\r\n\r\n") == "http_request_line");
    }
}

TEST_CASE("only versions 1.x are spoken here", "[http_request_head]") {
    CHECK(parsed("GET / HTTP/1.0\r\nHost: a\r\n\r\n") == "name=a");
    CHECK(parsed("GET / HTTP/1.2\r\nHost: a\r\n\r\n") == "name=a");
    CHECK(parsed("GET / HTTP/0.9\r\n") == "http_version_unsupported");
    CHECK(parsed("GET / HTTP/2.0\r\n") == "http_version_unsupported");
    CHECK(parsed("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == "http_version_unsupported");
}

TEST_CASE("without Host, only HTTP/1.0 goes on, without a name", "[http_request_head]") {
    CHECK(parsed("GET / HTTP/1.0\r\n\r\n") == "name=-");
    CHECK(parsed("GET / HTTP/1.1\r\n\r\n") == "http_host_missing");
    CHECK(parsed("GET http://a/ HTTP/1.0\r\n\r\n") == "name=a");
    CHECK(parsed("GET http://a/ HTTP/1.1\r\n\r\n") == "http_host_missing");
}

TEST_CASE("an empty Host is no name", "[http_request_head]") {
    CHECK(parsed_with_line("Host:") == "name=-");
    CHECK(parsed_with_line("Host: \t") == "name=-");
}

TEST_CASE("a second Host is one too many, even if it is equal or empty", "[http_request_head]") {
    CHECK(parsed_with_line("Host: a\r\nHost: b") == "two_names: b");
    CHECK(parsed_with_line("Host: a\r\nhost: a") == "two_names: a");
    CHECK(parsed_with_line("Host: a\r\nX: y\r\nHost:") == "two_names");
    CHECK(parsed_with_line("Host:\r\nHost: a") == "two_names: a");
}

TEST_CASE("a Host may have a port, which is dropped", "[http_request_head]") {
    CHECK(parsed_host("example.org:8080") == "name=example.org");
    CHECK(parsed_host("example.org:") == "name=example.org");
    CHECK(parsed_host("example.org.:443") == "name=example.org");
    CHECK(parsed_host("example.org:0") == "name=example.org");
    CHECK(parsed_host("example.org:65535") == "name=example.org");
    CHECK(parsed_host("example.org:000080") == "name=example.org");
}

TEST_CASE("a port is a number up to 65535", "[http_request_head]") {
    CHECK(parsed_host("a:65536") == "http_host_malformed: a:65536");
    CHECK(parsed_host("a:99999999999999999999") == "http_host_malformed: a:99999999999999999999");
    CHECK(parsed_host("a:80a") == "http_host_malformed: a:80a");
    CHECK(parsed_host("a:-1") == "http_host_malformed: a:-1");
    CHECK(parsed_host("a:80:80") == "http_host_malformed: a:80:80");
    CHECK(parsed_host("a: 80") == "http_host_malformed: a: 80");
    CHECK(parsed_host(":80") == "http_host_malformed: :80");
}

TEST_CASE("an IP address is no name", "[http_request_head]") {
    CHECK(parsed_host("192.0.2.1") == "name_is_ip_literal: 192.0.2.1");
    CHECK(parsed_host("192.0.2.1:80") == "name_is_ip_literal: 192.0.2.1");
    CHECK(parsed_host("[::1]") == "name_is_ip_literal: [::1]");
    CHECK(parsed_host("[2001:DB8::1]:8080") == "name_is_ip_literal: [2001:DB8::1]");
    CHECK(parsed_host("[::1]:") == "name_is_ip_literal: [::1]");
}

TEST_CASE("a broken IPv6 literal is told as such", "[http_request_head]") {
    for (const char* host : {"[", "[]", "[::1", "[::1]80", "[::1]:65536", "[::g]", "[::1]]",
                             "[192.0.2.1]", "::1", "[v1.x]", "[fe80::1%25eth0]", "[a.example]"}) {
        CAPTURE(host);
        CHECK(parsed_host(host) == std::string("http_host_malformed: ") + host);
    }
}

TEST_CASE("a Host against the rules for names is malformed", "[http_request_head]") {
    CHECK(parsed_host("a/b") == "name_has_forbidden_character: a/b");
    CHECK(parsed_host("a@b") == "name_has_forbidden_character: a@b");
    CHECK(parsed_host("a, b") == "name_has_forbidden_character: a, b");
    CHECK(parsed_host("a%2eb") == "name_has_forbidden_character: a%2eb");
    CHECK(parsed_host("\xc3\xbc") == "name_has_forbidden_character: \xc3\xbc");
    CHECK(parsed_host("..:80") == "name_has_empty_label: ..");
    CHECK(parsed_host(".") == "name_empty: .");
    const std::string label(63, 'a'), dotted = label + '.' + label + '.' + label + '.';
    CHECK(parsed_host(dotted + std::string(61, 'a')) == "name=" + dotted + std::string(61, 'a'));
    CHECK(parsed_host(dotted + std::string(62, 'a')) ==
          "name_too_long: " + dotted + std::string(62, 'a'));
}

TEST_CASE("an absolute target names the host, and Host must agree", "[http_request_head]") {
    CHECK(parsed_target("http://example.org/x", "example.org") == "name=example.org");
    CHECK(parsed_target("HTTPS://Example.ORG:443/x", "example.org.") == "name=example.org");
    CHECK(parsed_target("http://example.org", "example.org:80") == "name=example.org");
    CHECK(parsed_target("http://example.org?q=/@:", "example.org") == "name=example.org");
    CHECK(parsed_target("http://example.org:/", "example.org") == "name=example.org");
    CHECK(parsed_target("http://a.example/", "b.example") == "two_names: b.example");
    CHECK(parsed_target("http://a.example/", "") == "two_names");
}

TEST_CASE("an absolute target is checked like Host", "[http_request_head]") {
    CHECK(parsed_target("http://a@b/", "b") == "http_target_userinfo: a@b");
    CHECK(parsed_target("http://@b/", "b") == "http_target_userinfo: @b");
    CHECK(parsed_target("http:///x", "b") == "http_target");
    CHECK(parsed_target("http://", "b") == "http_target");
    CHECK(parsed_target("http://b:x/", "b") == "http_target: b:x");
    CHECK(parsed_target("http://b:65536/", "b") == "http_target: b:65536");
    CHECK(parsed_target("http://[::1]:80/", "b") == "name_is_ip_literal: [::1]");
    CHECK(parsed_target("http://[::1/", "b") == "http_target: [::1");
    CHECK(parsed_target("http://192.0.2.1/", "b") == "name_is_ip_literal: 192.0.2.1");
    CHECK(parsed_target("http://b\\c/", "b") == "name_has_forbidden_character: b\\c");
    CHECK(parsed_target("http://b#c/", "b") == "name_has_forbidden_character: b#c");
}

TEST_CASE("a target is a path, a http URI, or an asterisk", "[http_request_head]") {
    CHECK(parsed_target("/", "a") == "name=a");
    CHECK(parsed_target("/http://b/", "a") == "name=a");
    CHECK(parsed_target("//b/", "a") == "name=a");
    CHECK(parsed_target("/\xc3\xbc", "a") == "name=a");
    CHECK(parsed_target("*", "a") == "name=a");
    for (const char* target : {"**", "a", "a/b", "ftp://a/", "http:/a", "http:a", "http", "a:80",
                               "ahttp://a/", "?a", "://a"}) {
        CAPTURE(target);
        CHECK(parsed_target(target, "a") == "http_target");
    }
}

TEST_CASE("the target of CONNECT is a host, and Host must agree", "[http_request_head]") {
    CHECK(parsed("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n") == "name=a");
    CHECK(parsed("CONNECT a:443 HTTP/1.1\r\nHost: b\r\n\r\n") == "two_names: b");
    CHECK(parsed("CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n") == "name_has_forbidden_character: /x");
}

TEST_CASE("a control byte is malformed wherever it stands", "[http_request_head]") {
    for (int byte = 0; byte < 256; byte++) {
        const char c = static_cast<char>(byte);
        if (c == '\n') continue;
        CAPTURE(byte);
        const bool is_control = (byte < 0x20 && c != '\t') || byte == 0x7f;
        CHECK((parsed_with_line(std::string("Host: a\r\nX: y") + c + "z") == "name=a") ==
              !is_control);
        CHECK((parsed_with_line(std::string("Host: a\r\nX: y") + c + "z") == "http_control_byte") ==
              is_control);
        CHECK((parsed(std::string("GET /") + c + "z") == "http_control_byte") == is_control);
    }
}

TEST_CASE("CR stands before LF only", "[http_request_head]") {
    CHECK(parsed("GET / HTTP/1.1\r") == "more");
    CHECK(parsed("GET / HTTP/1.1\rH") == "http_control_byte");
    CHECK(parsed("GET / HTTP/1.1\r\r") == "http_control_byte");
    CHECK(parsed("GET / HTTP/1.1\r\r\n") == "http_control_byte");
    CHECK(parsed("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n") == "http_control_byte");
    CHECK(parsed("\r") == "more");
    CHECK(parsed("\rG") == "http_control_byte");
}

TEST_CASE("a header line has a name and a colon right behind it", "[http_request_head]") {
    CHECK(parsed_with_line("Host : a") == "http_header_space");
    CHECK(parsed_with_line("Host\t: a") == "http_header_space");
    CHECK(parsed_with_line("Other : a") == "http_header_space");
    CHECK(parsed_with_line("Host") == "http_header_line");
    CHECK(parsed_with_line(": a") == "http_header_line");
    CHECK(parsed_with_line("Ho st: a") == "http_header_line");
    CHECK(parsed_with_line("Ho(st: a") == "http_header_line");
    CHECK(parsed_with_line("H\xc3\xb6st: a") == "http_header_line");
}

TEST_CASE("a folded header line is malformed", "[http_request_head]") {
    CHECK(parsed_with_line("Host: a\r\n b") == "http_header_folded");
    CHECK(parsed_with_line("Host: a\r\n\tb") == "http_header_folded");
    CHECK(parsed_with_line("Host: a\r\n ") == "http_header_folded");
    CHECK(parsed("GET / HTTP/1.1\r\n Host: a\r\n\r\n") == "http_header_folded");
}

TEST_CASE("what is wrong is told before the head is complete", "[http_request_head]") {
    CHECK(parsed("GET /\r\n") == "http_request_line");
    CHECK(parsed("GET / HTTP/1.1\r\nHost: a/b\r\n") == "name_has_forbidden_character: a/b");
    CHECK(parsed("GET http://a/ HTTP/1.1\r\nHost: b\r\n") == "two_names: b");
}

}  // namespace
}  // namespace proxyd
