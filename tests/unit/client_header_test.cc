// SPDX-License-Identifier: MIT
#include "tcpshim/client_header.h"

#include "tests/unit/catch.h"

using namespace proxyd;
using namespace proxyd::shim;

namespace {

ClientDescription client_of(std::string_view source, std::string_view destination) {
    ClientDescription client;
    client.source = *SocketAddress::parse_host(source, 50000);
    client.destination = *SocketAddress::parse_host(destination, 443);
    client.name = "blog.example.org";
    client.alpn = "h2";
    client.id = "session-1";
    return client;
}

std::string text_of(ProxyProtocolVersion version, const ClientDescription& client) {
    ClientHeaderBytes bytes;
    const size_t size = write_client_header(version, client, bytes);
    return {bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size)};
}

}  // namespace

TEST_CASE("client_header: none", "[client_header]") {
    CHECK(text_of(ProxyProtocolVersion::None, client_of("192.0.2.1", "192.0.2.2")).empty());
}

TEST_CASE("client_header: version 1 is a line with both addresses", "[client_header]") {
    CHECK(text_of(ProxyProtocolVersion::V1, client_of("192.0.2.1", "198.51.100.2")) ==
          "PROXY TCP4 192.0.2.1 198.51.100.2 50000 443\r\n");
    CHECK(text_of(ProxyProtocolVersion::V1, client_of("2001:db8::1", "2001:db8::2")) ==
          "PROXY TCP6 2001:db8::1 2001:db8::2 50000 443\r\n");
}

TEST_CASE("client_header: version 1 says so when it doesn't know", "[client_header]") {
    CHECK(text_of(ProxyProtocolVersion::V1, ClientDescription{}) == "PROXY UNKNOWN\r\n");
}

TEST_CASE("client_header: version 2 has the addresses, the name, ALPN and the id",
          "[client_header]") {
    const ClientDescription client = client_of("2001:db8::1", "2001:db8::2");
    ClientHeaderBytes bytes;
    const size_t size = write_client_header(ProxyProtocolVersion::V2, client, bytes);
    const auto read = decode_wire_header(Bytes(bytes).first(size));
    REQUIRE(read);
    CHECK(read->source == client.source);
    CHECK(read->destination == client.destination);
    CHECK(read->name == "blog.example.org");
    CHECK(read->alpn == "h2");
    CHECK(read->id == "session-1");
    CHECK_FALSE(read->is_stated);
}
