// SPDX-License-Identifier: MIT
#include "proxyd/hello.h"
#include "tests/support/client_hello_builder.h"
#include "tests/unit/catch.h"

#include <string>

namespace proxyd {
namespace {

std::string recognised(std::string_view text) {
    const auto protocol = recognise_protocol(test::bytes_of(text));
    if (!protocol) return "needs more";
    return std::string(protocol_word(*protocol));
}

TEST_CASE("no byte tells nothing", "[protocol]") {
    CHECK(recognised("") == "needs more");
}

TEST_CASE("a handshake record's first byte is TLS", "[protocol]") {
    CHECK(recognised("\x16") == "tls");
    CHECK(recognised("\x16GET / HTTP/1.1") == "tls");
}

TEST_CASE("a token and a space are HTTP", "[protocol]") {
    CHECK(recognised("GET ") == "http");
    CHECK(recognised("M-SEARCH * HTTP/1.1\r\n") == "http");
    CHECK(recognised("purge /") == "http");
    CHECK(recognised("S /") == "http");
    CHECK(recognised("SSH /") == "http");
    CHECK(recognised("PRI * HTTP/2.0\r\n") == "http");
}

TEST_CASE("a token alone may still become HTTP", "[protocol]") {
    CHECK(recognised("G") == "needs more");
    CHECK(recognised("GET") == "needs more");
    CHECK(recognised("SSH") == "needs more");
}

TEST_CASE("a method has at most 31 bytes", "[protocol]") {
    CHECK(recognised(std::string(31, 'A')) == "needs more");
    CHECK(recognised(std::string(31, 'A') + " ") == "http");
    CHECK(recognised(std::string(32, 'A')) == "-");
    CHECK(recognised(std::string(32, 'A') + " ") == "-");
}

TEST_CASE("one empty line may stand before a request", "[protocol]") {
    CHECK(recognised("\r") == "needs more");
    CHECK(recognised("\r\n") == "needs more");
    CHECK(recognised("\n") == "needs more");
    CHECK(recognised("\r\nGET /") == "http");
    CHECK(recognised("\nGET /") == "http");
    CHECK(recognised("\r\n\r\nGET /") == "-");
    CHECK(recognised("\rG") == "-");
}

TEST_CASE("an SSH banner is not HTTP, not even one with a comment", "[protocol]") {
    CHECK(recognised("SSH-") == "-");
    CHECK(recognised("SSH-2.0-OpenSSH_9.2p1\r\n") == "-");
    CHECK(recognised("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u6\r\n") == "-");
}

TEST_CASE("anything else is neither", "[protocol]") {
    CHECK(recognised(" GET /") == "-");
    CHECK(recognised(std::string_view("\0", 1)) == "-");
    CHECK(recognised("\x80\x2e\x01") == "-");          // an SSL 2 hello
    CHECK(recognised("\r\n\r\n\0\r\nQUIT\n") == "-");  // PROXY protocol, version 2
    CHECK(recognised("<stream:stream>") == "-");       // XMPP
    CHECK(recognised("GET\t/") == "-");
    CHECK(recognised("QUIT\r\n") == "-");
}

TEST_CASE("has the access log's word for each protocol", "[protocol]") {
    CHECK(protocol_word(Protocol::Unknown) == "-");
    CHECK(protocol_word(Protocol::Tls) == "tls");
    CHECK(protocol_word(Protocol::Http) == "http");
}

}  // namespace
}  // namespace proxyd
