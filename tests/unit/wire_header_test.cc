// SPDX-License-Identifier: MIT
#include "base/handoff/wire_header.h"

#include "tests/support/client_hello_builder.h"
#include "tests/unit/catch.h"

#include <string>
#include <vector>

namespace proxyd {
namespace {

using test::block_u16;
using test::Buffer;
using test::bytes_of;
using test::operator+;

constexpr std::string_view Signature("\r\n\r\n\0\r\nQUIT\n", 12);

SocketAddress address(std::string_view host, uint16_t port) {
    return *SocketAddress::parse_host(host, port);
}

Buffer encoded(const ConnectionDescription& description) {
    Buffer out(WireHeaderBytesMax, 0xee);
    out.resize(encode_wire_header(description, std::span<uint8_t, WireHeaderBytesMax>(out)));
    return out;
}

// A header of this command, family and content, whatever they are.
Buffer header(uint8_t version_command, uint8_t family, const Buffer& content) {
    return bytes_of(Signature) + Buffer{version_command, family} + block_u16(content);
}

const Buffer Ipv4Addresses = {192, 0, 2, 1, 198, 51, 100, 2, 0x30, 0x39, 0x01, 0xbb};

ConnectionDescription between(const SocketAddress& source, const SocketAddress& destination) {
    ConnectionDescription description;
    description.source = source;
    description.destination = destination;
    return description;
}

ConnectionDescription full_description() {
    return {.source = address("2001:db8::1", 12345),
            .destination = address("2001:db8::2", 443),
            .alpn = "h2",
            .name = "blog.example.org",
            .id = "0123abcd"};
}

TEST_CASE("writes an IPv4 connection byte by byte as the format says", "[wire_header]") {
    const Buffer bytes = encoded({.source = address("192.0.2.1", 12345),
                                  .destination = address("198.51.100.2", 443),
                                  .alpn = "h2",
                                  .name = "a.example",
                                  .id = "7"});
    const Buffer tlvs = Buffer{0x01} + block_u16(bytes_of("h2")) + Buffer{0x02} +
                        block_u16(bytes_of("a.example")) + Buffer{0x05} + block_u16(bytes_of("7"));
    CHECK(bytes == header(0x21, 0x11, Ipv4Addresses + tlvs));
}

TEST_CASE("reads the header that it writes", "[wire_header]") {
    const Buffer bytes = encoded(full_description());
    const auto read = decode_wire_header(bytes);
    REQUIRE(read);
    CHECK(read->source == address("2001:db8::1", 12345));
    CHECK(read->destination == address("2001:db8::2", 443));
    CHECK(read->alpn == "h2");
    CHECK(read->name == "blog.example.org");
    CHECK(read->id == "0123abcd");
}

TEST_CASE("leaves out what is empty", "[wire_header]") {
    const Buffer bytes =
        encoded(between(address("192.0.2.1", 12345), address("198.51.100.2", 443)));
    CHECK(bytes == header(0x21, 0x11, Ipv4Addresses));
}

TEST_CASE("addresses of two families, or none, are left out with the family", "[wire_header]") {
    const Buffer none = header(0x21, 0x00, {});
    CHECK(encoded(between({}, {})) == none);
    CHECK(encoded(between(address("192.0.2.1", 1), address("::1", 2))) == none);
    CHECK(encoded(between(address("192.0.2.1", 1), {})) == none);
}

TEST_CASE("values fill the largest header, and one byte more leaves them out", "[wire_header]") {
    const std::string longest(255, 'n'), longest_id(128, 'i');
    ConnectionDescription description = full_description();
    description.alpn = description.name = longest;
    description.id = longest_id;
    description.is_stated = true;
    const Buffer bytes = encoded(description);
    CHECK(bytes.size() == WireHeaderBytesMax);
    CHECK(decode_wire_header(bytes)->id == longest_id);

    const std::string too_long(256, 'n'), too_long_id(129, 'i');
    description.alpn = description.name = too_long;
    description.id = too_long_id;
    description.is_stated = false;
    const Buffer without_values = encoded(description);
    CHECK(without_values.size() == 16 + 36);
    CHECK(decode_wire_header(without_values)->name.empty());
}

TEST_CASE("says whether a load balancer has stated the addresses", "[wire_header]") {
    ConnectionDescription description =
        between(address("192.0.2.1", 12345), address("198.51.100.2", 443));
    CHECK_FALSE(decode_wire_header(encoded(description))->is_stated);
    description.is_stated = true;
    CHECK(encoded(description) == header(0x21, 0x11, Ipv4Addresses + Buffer{0xe0, 0, 1, '1'}));
    CHECK(decode_wire_header(encoded(description))->is_stated);
}

TEST_CASE("truncated anywhere, it is no header", "[wire_header]") {
    const Buffer bytes = encoded(full_description());
    for (size_t size = 0; size < bytes.size(); size++) {
        CAPTURE(size);
        CHECK_FALSE(decode_wire_header(Bytes(bytes).first(size)));
    }
}

TEST_CASE("bytes behind the header belong to somebody else", "[wire_header]") {
    const Buffer bytes = encoded(full_description()) + bytes_of("\x02more");
    CHECK(decode_wire_header(bytes)->name == "blog.example.org");
}

TEST_CASE("another payload is no header", "[wire_header]") {
    CHECK_FALSE(decode_wire_header({}));
    CHECK_FALSE(decode_wire_header(bytes_of("x")));
    CHECK_FALSE(decode_wire_header(bytes_of("PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\n")));
    CHECK_FALSE(decode_wire_header(header(0x11, 0x11, Ipv4Addresses)));
    CHECK_FALSE(decode_wire_header(header(0x31, 0x11, Ipv4Addresses)));
    Buffer wrong_signature = header(0x21, 0x11, Ipv4Addresses);
    wrong_signature[11] = '\r';
    CHECK_FALSE(decode_wire_header(wrong_signature));
}

TEST_CASE("an address block that is cut short is no header", "[wire_header]") {
    Buffer ipv4 = Ipv4Addresses, ipv6(36, 1);
    CHECK(decode_wire_header(header(0x21, 0x21, ipv6)));
    ipv4.pop_back();
    ipv6.pop_back();
    CHECK_FALSE(decode_wire_header(header(0x21, 0x11, ipv4)));
    CHECK_FALSE(decode_wire_header(header(0x21, 0x21, ipv6)));
}

TEST_CASE("a LOCAL header, or one of another family, has no addresses", "[wire_header]") {
    const auto local = decode_wire_header(header(0x20, 0x11, Ipv4Addresses));
    REQUIRE(local);
    CHECK_FALSE(local->source.has_address());
    const auto datagram = decode_wire_header(header(0x21, 0x12, {}));
    REQUIRE(datagram);
    CHECK_FALSE(datagram->source.has_address());
}

TEST_CASE("passes over TLVs that it doesn't know", "[wire_header]") {
    const Buffer unknown = Buffer{0xee} + block_u16(bytes_of("?")) + Buffer{0x04} + block_u16({});
    const Buffer name = Buffer{0x02} + block_u16(bytes_of("a.example"));
    const Buffer bytes = header(0x21, 0x11, Ipv4Addresses + unknown + name + unknown);
    CHECK(decode_wire_header(bytes)->name == "a.example");
}

TEST_CASE("a broken TLV ends the values, not the header", "[wire_header]") {
    const Buffer name = Buffer{0x02} + block_u16(bytes_of("a.example"));
    for (const Buffer& broken : {Buffer{5}, Buffer{5, 0}, Buffer{5, 0, 1}, Buffer{5, 9, 9, 1}}) {
        const Buffer bytes = header(0x21, 0x11, Ipv4Addresses + name + broken);
        const auto read = decode_wire_header(bytes);
        REQUIRE(read);
        CHECK(read->name == "a.example");
        CHECK(read->id.empty());
        CHECK(read->source == address("192.0.2.1", 12345));
    }
}

}  // namespace
}  // namespace proxyd
