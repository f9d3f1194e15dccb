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
    CHECK(recognised("PRI * HTTP/1.1\r\n") == "http");
}

TEST_CASE("a token alone may still become HTTP", "[protocol]") {
    CHECK(recognised("G") == "needs more");
    CHECK(recognised("GET") == "needs more");
    CHECK(recognised("SSH") == "needs more");
}

TEST_CASE("a method has at most 31 bytes", "[protocol]") {
    CHECK(recognised(std::string(31, 'A')) == "needs more");
    CHECK(recognised(std::string(31, 'A') + " ") == "http");
    CHECK(recognised(std::string(32, 'A')) == "other");
    CHECK(recognised(std::string(32, 'A') + " ") == "other");
}

TEST_CASE("one empty line may stand before a request", "[protocol]") {
    CHECK(recognised("\r") == "needs more");
    CHECK(recognised("\r\n") == "needs more");
    CHECK(recognised("\n") == "needs more");
    CHECK(recognised("\r\nGET /") == "http");
    CHECK(recognised("\nGET /") == "http");
    CHECK(recognised("\r\n\r\nGET /") == "other");
    CHECK(recognised("\rG") == "other");
}

TEST_CASE("an SSH banner is not HTTP, not even one with a comment", "[protocol]") {
    CHECK(recognised("SSH-") == "ssh");
    CHECK(recognised("SSH-2.0-OpenSSH_9.2p1\r\n") == "ssh");
    CHECK(recognised("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u6\r\n") == "ssh");
}

TEST_CASE("HTTP/2 is known by the first line of its preface", "[protocol]") {
    CHECK(recognised("P") == "needs more");
    CHECK(recognised("PRI ") == "needs more");
    CHECK(recognised("PRI * HTTP/2.0\r") == "needs more");
    CHECK(recognised("PRI * HTTP/2.0\r\n") == "h2");
    CHECK(recognised("PRI * HTTP/2.0\n") == "http");
    CHECK(recognised("\r\nPRI * HTTP/2.0\r\n") == "http");
}

TEST_CASE("anything else is other", "[protocol]") {
    CHECK(recognised(" GET /") == "other");
    CHECK(recognised(std::string_view("\0", 1)) == "other");
    CHECK(recognised("\x80\x2e\x01") == "other");          // an SSL 2 hello
    CHECK(recognised("\r\n\r\n\0\r\nQUIT\n") == "other");  // PROXY protocol, version 2
    CHECK(recognised("<stream:stream>") == "other");       // XMPP
    CHECK(recognised("GET\t/") == "other");
    CHECK(recognised("QUIT\r\n") == "other");
}

TEST_CASE("has the access log's word and the route's key for each protocol", "[protocol]") {
    const auto words = [](Protocol protocol) {
        return std::string(protocol_word(protocol)) + " " + std::string(protocol_class(protocol));
    };
    CHECK(words(Protocol::Unknown) == "- ");
    CHECK(words(Protocol::Tls) == "tls @tls");
    CHECK(words(Protocol::Http) == "http @http");
    CHECK(words(Protocol::Http2) == "h2 @http");
    CHECK(words(Protocol::Ssh) == "ssh @ssh");
    CHECK(words(Protocol::Silent) == "silent @silent");
    CHECK(words(Protocol::Other) == "other @other");
}

TEST_CASE("protocols without names have no part in the default route", "[protocol]") {
    CHECK(has_names(Protocol::Tls));
    CHECK(has_names(Protocol::Http));
    CHECK(has_names(Protocol::Http2));
    CHECK_FALSE(has_names(Protocol::Ssh));
    CHECK_FALSE(has_names(Protocol::Silent));
    CHECK_FALSE(has_names(Protocol::Other));
}

}  // namespace
}  // namespace proxyd
