// SPDX-License-Identifier: MIT
#include "proxyd/proxy_header.h"

#include "tests/support/client_hello_builder.h"
#include "tests/unit/catch.h"

#include <string>

namespace proxyd {
namespace {

using namespace std::string_literals;

const std::string Signature = "\r\n\r\n\0\r\nQUIT\n"s;

std::string address_text(const SocketAddress& address) {
    SocketAddress::Text text;
    return std::string(address.format(text));
}

// "source destination size", "more <bytes_min>" or the reason.
std::string found(const std::string& text) {
    const ProxyHeaderOutcome outcome = parse_proxy_header(test::bytes_of(text));
    if (const auto* more = std::get_if<NeedMore>(&outcome))
        return "more " + std::to_string(more->bytes_min);
    if (const auto* malformed = std::get_if<Malformed>(&outcome))
        return std::string(malformed->reason);
    const auto& header = std::get<ProxyHeader>(outcome);
    return address_text(header.source) + " " + address_text(header.destination) + " " +
           std::to_string(header.size);
}

std::string binary(int command, int family, const std::string& content) {
    return Signature + static_cast<char>(command) + static_cast<char>(family) +
           static_cast<char>(content.size() >> 8) + static_cast<char>(content.size()) + content;
}

const std::string Ipv4 = "\xc0\0\x02\x01\xc0\0\x02\x02\x04\x00\x01\xbb"s;
const std::string Ipv6 = "\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\x01" +
                         "\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\x02" + "\x04\x00\x01\xbb"s;

TEST_CASE("version 1 tells both ends", "[proxy_header]") {
    CHECK(found("PROXY TCP4 192.0.2.1 192.0.2.2 1024 443\r\n") ==
          "192.0.2.1:1024 192.0.2.2:443 41");
    CHECK(found("PROXY TCP6 2001:db8::1 2001:db8::2 1024 443\r\nGET /") ==
          "[2001:db8::1]:1024 [2001:db8::2]:443 45");
    CHECK(found("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n") ==
          "255.255.255.255:65535 255.255.255.255:65535 56");
    CHECK(found("PROXY TCP4 192.0.2.1 192.0.2.2 0 0\r\n") == "192.0.2.1:0 192.0.2.2:0 36");
}

TEST_CASE("IPv4 clients of a balancer's IPv6 socket are IPv4 clients", "[proxy_header]") {
    CHECK(found("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1024 443\r\n") ==
          "192.0.2.1:1024 192.0.2.2:443 55");
    CHECK(found("PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1024 443\r\n") ==
          "[::ffff:192.0.2.1]:1024 [2001:db8::2]:443 50");
}

TEST_CASE("version 1 may not know the ends", "[proxy_header]") {
    CHECK(found("PROXY UNKNOWN\r\n") == "- - 15");
    CHECK(found("PROXY UNKNOWN anything at all\r\n") == "- - 31");
}

TEST_CASE("version 1 has at most 107 bytes", "[proxy_header]") {
    const std::string longest = "PROXY UNKNOWN " + std::string(91, 'x') + "\r\n";
    REQUIRE(longest.size() == 107);
    CHECK(found(longest) == "- - 107");
    CHECK(found(longest.substr(0, 106)) == "more 107");
    CHECK(found("PROXY UNKNOWN " + std::string(92, 'x') + "\r\n") == "proxy_header_malformed");
    CHECK(found("PROXY UNKNOWN " + std::string(93, 'x')) == "proxy_header_malformed");
}

TEST_CASE("version 1 is exact", "[proxy_header]") {
    for (const char* line : {
             "PROXY  TCP4 192.0.2.1 192.0.2.2 1024 443\r\n",
             "PROXY TCP4  192.0.2.1 192.0.2.2 1024 443\r\n",
             "PROXY TCP4 192.0.2.1 192.0.2.2 1024 443 \r\n",
             "PROXY TCP4 192.0.2.1 192.0.2.2 1024\r\n",
             "PROXY TCP4 192.0.2.1 192.0.2.2 1024 443 1\r\n",
             "PROXY TCP4 192.0.2.1 192.0.2.2 1024 65536\r\n",
             "PROXY TCP4 192.0.2.1 192.0.2.2 01024 443\r\n",
             "PROXY TCP4 192.0.2.1 192.0.2.2 -1 443\r\n",
             "PROXY TCP4 192.0.2.1 192.0.2.2 1024 \r\n",
             "PROXY TCP4 192.0.2.1 2001:db8::2 1024 443\r\n",
             "PROXY TCP4 2001:db8::1 2001:db8::2 1024 443\r\n",
             "PROXY TCP6 192.0.2.1 192.0.2.2 1024 443\r\n",
             "PROXY TCP4 192.0.2.01 192.0.2.2 1024 443\r\n",
             "PROXY TCP4 a b 1024 443\r\n",
             "PROXY TCP4\r\n",
             "PROXY UDP4 192.0.2.1 192.0.2.2 1024 443\r\n",
             "PROXY UNKNOWNS\r\n",
             "PROXY \r\n",
             "PROXY UNKNOWN\n",
             "PROXY \n",
         })
        CHECK(found(line) == "proxy_header_malformed");
}

TEST_CASE("version 2 tells both ends", "[proxy_header]") {
    CHECK(found(binary(0x21, 0x11, Ipv4)) == "192.0.2.1:1024 192.0.2.2:443 28");
    CHECK(found(binary(0x21, 0x21, Ipv6) + "GET /") == "[2001:db8::1]:1024 [2001:db8::2]:443 52");
    CHECK(found(binary(0x21, 0x11, Ipv4 + "\x04\0\x01x"s)) == "192.0.2.1:1024 192.0.2.2:443 32");
}

TEST_CASE("version 2 may not know the ends", "[proxy_header]") {
    CHECK(found(binary(0x20, 0x00, "")) == "- - 16");
    CHECK(found(binary(0x20, 0x11, Ipv4)) == "- - 28");
    CHECK(found(binary(0x20, 0x77, "x")) == "- - 17");
    CHECK(found(binary(0x21, 0x00, "abc")) == "- - 19");
    CHECK(found(binary(0x21, 0x31, std::string(216, 'p'))) == "- - 232");
}

TEST_CASE("version 2 has at most 4096 bytes", "[proxy_header]") {
    const std::string longest = binary(0x21, 0x11, Ipv4 + std::string(4096 - 28, '\0'));
    REQUIRE(longest.size() == ProxyHeaderBytesMax);
    CHECK(found(longest) == "192.0.2.1:1024 192.0.2.2:443 4096");
    CHECK(found(binary(0x21, 0x11, Ipv4 + std::string(4096 - 27, '\0'))) ==
          "proxy_header_malformed");
    CHECK(found(longest.substr(0, 16)) == "more 4096");
    CHECK(found(longest.substr(0, 4095)) == "more 4096");
}

TEST_CASE("version 2 is exact", "[proxy_header]") {
    CHECK(found(binary(0x21, 0x11, Ipv4.substr(1))) == "proxy_header_malformed");
    CHECK(found(binary(0x21, 0x21, Ipv6.substr(1))) == "proxy_header_malformed");
    CHECK(found(binary(0x11, 0x11, Ipv4)) == "proxy_header_malformed");
    CHECK(found(binary(0x22, 0x11, Ipv4)) == "proxy_header_malformed");
    CHECK(found(binary(0x21, 0x12, Ipv4)) == "proxy_header_malformed");
    CHECK(found(binary(0x21, 0x41, Ipv4)) == "proxy_header_malformed");
}

TEST_CASE("what is cut short needs more, whatever is missing", "[proxy_header]") {
    const std::string text = "PROXY TCP4 192.0.2.1 192.0.2.2 1024 443\r\n";
    for (size_t size = 0; size < text.size(); size++)
        CHECK(found(text.substr(0, size)) == "more " + std::to_string(std::max(size + 1, 15ul)));
    const std::string header = binary(0x21, 0x11, Ipv4);
    for (size_t size = 1; size < header.size(); size++)
        CHECK(found(header.substr(0, size)) == (size < 16 ? "more 16" : "more 28"));
}

TEST_CASE("other bytes are no header, as soon as they differ", "[proxy_header]") {
    CHECK(found("G") == "proxy_header_missing");
    CHECK(found("\x16") == "proxy_header_missing");
    CHECK(found("PROPFIND / HTTP/1.1\r\n") == "proxy_header_missing");
    CHECK(found("PROXY\tTCP4") == "proxy_header_missing");
    CHECK(found("\r\nGET") == "proxy_header_missing");
    CHECK(found("\r\n\r\n\0\r\nQUIT\r"s) == "proxy_header_missing");
}

TEST_CASE("a header is known by its beginning, right or wrong", "[proxy_header]") {
    const auto begins = [](const std::string& text) {
        return begins_with_proxy_header(test::bytes_of(text));
    };
    CHECK(begins("PROXY ") == true);
    CHECK(begins(Signature) == true);
    CHECK(begins("PROXY") == std::nullopt);
    CHECK(begins(Signature.substr(0, 11)) == std::nullopt);
    CHECK(begins("") == std::nullopt);
    CHECK(begins("PROPFIND") == false);
}

}  // namespace
}  // namespace proxyd
