// SPDX-License-Identifier: MIT
#include "proxyd/hello.h"
#include "tests/support/client_hello_builder.h"
#include "tests/support/hello_text.h"
#include "tests/unit/catch.h"

#include <string>

namespace proxyd {
namespace {

using test::block_u16;
using test::block_u8;
using test::Buffer;
using test::bytes_of;
using test::ClientHelloBuilder;
using test::message_of;
using test::record_of;
using test::records_of;
using test::server_name_entry;
using test::split_in_two;
using test::operator+;

std::string parsed(const Buffer& bytes) {
    return test::text_of(parse_client_hello(bytes));
}
std::string parsed(const ClientHelloBuilder& hello) {
    return parsed(hello.record());
}

// The least number of bytes that the parser asks for; 0 if it has an answer.
size_t bytes_asked_for(Bytes bytes) {
    const HelloOutcome outcome = parse_client_hello(bytes);
    const auto* more = std::get_if<NeedMore>(&outcome);
    return more ? more->bytes_min : 0;
}

// How often the parser looks at a hello that comes byte by byte.
size_t looks_at(const Buffer& bytes) {
    size_t looks = 0, asked_for = 1;
    while (asked_for != 0 && asked_for <= bytes.size()) {
        asked_for = bytes_asked_for(Bytes(bytes).first(asked_for));
        looks++;
    }
    return looks;
}

ClientHelloBuilder usual_hello() {
    return ClientHelloBuilder().add_server_name("blog.example.org").add_alpn({"h2", "http/1.1"});
}
constexpr std::string_view UsualText = "name=blog.example.org alpn=h2,http/1.1";

// A hello whose server_name's content is this.
std::string parsed_server_name(const Buffer& content) {
    return parsed(ClientHelloBuilder().add_extension(0, content));
}

std::string parsed_alpn(const Buffer& content) {
    return parsed(ClientHelloBuilder().add_extension(16, content));
}

TEST_CASE("finds name and protocols", "[client_hello]") {
    CHECK(parsed(usual_hello()) == UsualText);
    CHECK(parsed(ClientHelloBuilder().add_alpn({"h2"})) == "name=- alpn=h2");
    CHECK(parsed(ClientHelloBuilder().add_server_name("example.org")) == "name=example.org");
}

TEST_CASE("lower-cases the name and takes its trailing dot away", "[client_hello]") {
    CHECK(parsed(ClientHelloBuilder().add_server_name("BLOG.Example.org.")) ==
          "name=blog.example.org");
}

TEST_CASE("a hello without server_name, or without extensions, has no name", "[client_hello]") {
    CHECK(parsed(ClientHelloBuilder()) == "name=-");
    ClientHelloBuilder hello;
    hello.has_extensions = false;
    CHECK(parsed(hello) == "name=-");
}

TEST_CASE("sees Encrypted ClientHello, and takes the outer name", "[client_hello]") {
    CHECK(parsed(usual_hello().add_extension(0xfe0d, {0, 1, 2})) ==
          std::string(UsualText) + " ech");
}

TEST_CASE("passes over GREASE and what it doesn't know", "[client_hello]") {
    ClientHelloBuilder hello;
    hello.cipher_suites = {0x0a, 0x0a, 0x13, 0x01};
    hello.add_extension(0x2a2a, {}).add_extension(0x3a3a, {0}).add_extension(0x2a2a, {});
    hello.add_server_name("example.org").add_alpn({"\x0a\x0a", "h2"});
    CHECK(parsed(hello) == "name=example.org alpn=\\x0a\\x0a,h2");
}

TEST_CASE("any minor version of TLS 1 will do", "[client_hello]") {
    ClientHelloBuilder hello = usual_hello();
    hello.version = 0x0301;
    Buffer record = hello.record();
    record[2] = 4;
    CHECK(parsed(record) == UsualText);
}

TEST_CASE("bytes behind the hello's last record are not looked at", "[client_hello]") {
    CHECK(parsed(usual_hello().record() + Buffer{20, 3, 3, 0, 1, 1}) == UsualText);
    CHECK(parsed(usual_hello().record() + Buffer{0}) == UsualText);
}

TEST_CASE("truncated anywhere, a hello is incomplete, never without a name", "[client_hello]") {
    const Buffer record = usual_hello().record();
    for (size_t size = 0; size < record.size(); size++) {
        CAPTURE(size);
        CHECK(bytes_asked_for(Bytes(record).first(size)) == (size < 5 ? 5 : record.size()));
    }
}

TEST_CASE("finds the name in a hello that is cut into two records anywhere", "[client_hello]") {
    const Buffer message = usual_hello().message();
    for (size_t first_bytes = 1; first_bytes < message.size(); first_bytes++) {
        CAPTURE(first_bytes);
        CHECK(parsed(split_in_two(message, first_bytes)) == UsualText);
    }
}

TEST_CASE("finds the name in records of any size, truncated anywhere", "[client_hello]") {
    const Buffer message = usual_hello().message();
    for (const size_t record_bytes : {1u, 2u, 3u, 4u, 5u, 7u, 50u}) {
        const Buffer records = records_of(message, record_bytes);
        CHECK(parsed(records) == UsualText);
        for (size_t size = 0; size < records.size(); size++) {
            CAPTURE(record_bytes, size);
            const size_t asked_for = bytes_asked_for(Bytes(records).first(size));
            CHECK(asked_for > size);
            CHECK(asked_for <= records.size());
        }
    }
}

TEST_CASE("looks three times at a hello that comes byte by byte", "[client_hello]") {
    CHECK(looks_at(usual_hello().record()) == 3);
    CHECK(looks_at(usual_hello().add_extension(51, Buffer(16000, 1)).record()) == 3);
}

TEST_CASE("looks once more for a second record", "[client_hello]") {
    const Buffer message = usual_hello().message();
    CHECK(looks_at(split_in_two(message, 20)) == 4);
    CHECK(looks_at(split_in_two(message, 4)) == 4);
    CHECK(looks_at(split_in_two(message, 3)) == 4);
}

TEST_CASE("looks seldom at a hello of tiny records that comes byte by byte", "[client_hello]") {
    const Buffer message = usual_hello().message();
    CHECK(message.size() > 100);
    CHECK(looks_at(records_of(message, 1)) < 40);
    CHECK(looks_at(records_of(message, 16)) < 12);
}

TEST_CASE("says at once how large the whole hello is at least", "[client_hello]") {
    const Buffer header = {22, 3, 1, 0x40, 0x00};  // a record of 16384 bytes
    CHECK(bytes_asked_for(header) == 5 + 16384);
    CHECK(bytes_asked_for(header + Buffer{1, 0x00, 0x3f, 0xfc}) == 5 + 16384);
    CHECK(bytes_asked_for(header + Buffer{1, 0x00, 0x3f, 0xfd}) == 5 + 16384 + 5 + 1);
    CHECK(bytes_asked_for(header + Buffer{1, 0x00, 0x7f, 0xfc}) == 5 + 16384 + 5 + 16384);
    CHECK(bytes_asked_for(header + Buffer{1, 0x00, 0x7f, 0xfd}) == 2 * (5 + 16384) + 5 + 1);
    CHECK(bytes_asked_for(header + Buffer{1, 0xff, 0xff, 0xff}) == (16u << 20) + 3 + 5 * 1025);
}

TEST_CASE("counts the records that the missing bytes need", "[client_hello]") {
    const Buffer message = usual_hello().message();
    const Buffer first = record_of(Buffer(message.begin(), message.begin() + 10));
    const size_t whole = split_in_two(message, 10).size();
    CHECK(bytes_asked_for(first) == whole);
    CHECK(bytes_asked_for(first + Buffer{22, 3, 1, 0}) == whole);
    CHECK(bytes_asked_for(first + Buffer{22, 3, 1, 0, 1}) == whole + 5);
    CHECK(bytes_asked_for(Buffer{22}) == 5);
    CHECK(bytes_asked_for(Bytes()) == 5);
}

TEST_CASE("a record's flaws are seen as soon as the byte is there", "[client_hello]") {
    CHECK(parsed(Buffer{21}) == "tls_record_not_handshake");
    CHECK(parsed(Buffer{22, 2}) == "tls_record_version");
    CHECK(parsed(Buffer{22, 4}) == "tls_record_version");
    CHECK(parsed(Buffer{22, 3, 1, 0}) == "more");
    CHECK(parsed(Buffer{22, 3, 1, 0, 0}) == "tls_record_empty");
    CHECK(parsed(Buffer{22, 3, 1, 0x40, 0x00}) == "more");
    CHECK(parsed(Buffer{22, 3, 1, 0x40, 0x01}) == "tls_record_too_long");
    CHECK(parsed(Buffer{22, 3, 1, 0xff, 0xff}) == "tls_record_too_long");
    CHECK(parsed(Buffer{22, 3, 1, 1, 0, 1}) == "more");
    CHECK(parsed(Buffer{22, 3, 1, 1, 0, 2}) == "tls_not_a_client_hello");
    CHECK(parsed(Buffer{22, 3, 1, 1, 0, 0}) == "tls_not_a_client_hello");
}

TEST_CASE("only handshake records carry a hello on", "[client_hello]") {
    const Buffer message = usual_hello().message();
    const Buffer first = record_of(Buffer(message.begin(), message.begin() + 10));
    CHECK(parsed(first + Buffer{20, 3, 3, 0, 1, 1}) == "tls_record_not_handshake");
    CHECK(parsed(first + Buffer{22, 3, 3, 0, 0}) == "tls_record_empty");
    CHECK(parsed(first + Buffer{22, 2}) == "tls_record_version");
    CHECK(parsed(first + Buffer{22, 3, 3, 0x40, 0x01}) == "tls_record_too_long");
}

TEST_CASE("the hello ends where its record does", "[client_hello]") {
    const Buffer message = usual_hello().message();
    CHECK(parsed(record_of(message + Buffer{1})) == "tls_bytes_after_hello");
    CHECK(parsed(record_of(message + message)) == "tls_bytes_after_hello");
    CHECK(parsed(Buffer{22, 3, 1, 0, 5, 1, 0, 0, 0}) == "tls_bytes_after_hello");
    CHECK(parsed(records_of(message + Buffer{1}, message.size() / 2)) == UsualText);
    CHECK(parsed(records_of(message + Buffer{1}, message.size() / 2 + 1)) ==
          "tls_bytes_after_hello");
}

TEST_CASE("a body that is cut anywhere before its extensions is malformed", "[client_hello]") {
    ClientHelloBuilder hello;
    hello.has_extensions = false;
    const Buffer body = hello.body();
    for (size_t size = 0; size < body.size(); size++) {
        CAPTURE(size);
        const Buffer cut(body.begin(), body.begin() + static_cast<std::ptrdiff_t>(size));
        CHECK(parsed(record_of(message_of(1, cut))) == "tls_hello_truncated_field");
    }
}

TEST_CASE("a body that is cut anywhere in its extensions is malformed", "[client_hello]") {
    ClientHelloBuilder without_extensions = usual_hello();
    without_extensions.has_extensions = false;
    const Buffer body = usual_hello().body();
    for (size_t size = without_extensions.body().size() + 1; size < body.size(); size++) {
        CAPTURE(size);
        const Buffer cut(body.begin(), body.begin() + static_cast<std::ptrdiff_t>(size));
        CHECK(parsed(record_of(message_of(1, cut))) == "tls_hello_extensions");
    }
}

TEST_CASE("nothing stands behind the extensions", "[client_hello]") {
    CHECK(parsed(record_of(message_of(1, usual_hello().body() + Buffer{0}))) ==
          "tls_hello_extensions");
}

TEST_CASE("the hello's version is 3.x", "[client_hello]") {
    ClientHelloBuilder hello;
    hello.version = 0x0203;
    CHECK(parsed(hello) == "tls_hello_version");
    hello.version = 0x0403;
    CHECK(parsed(hello) == "tls_hello_version");
}

TEST_CASE("a session id has at most 32 bytes", "[client_hello]") {
    ClientHelloBuilder hello;
    hello.session_id = {};
    CHECK(parsed(hello) == "name=-");
    hello.session_id = Buffer(32, 1);
    CHECK(parsed(hello) == "name=-");
    hello.session_id = Buffer(33, 1);
    CHECK(parsed(hello) == "tls_hello_session_id");
}

TEST_CASE("there is a cipher suite, and a whole number of them", "[client_hello]") {
    ClientHelloBuilder hello;
    hello.cipher_suites = {0x13, 0x01};
    CHECK(parsed(hello) == "name=-");
    hello.cipher_suites = {};
    CHECK(parsed(hello) == "tls_hello_cipher_suites");
    hello.cipher_suites = {0x13, 0x01, 0x13};
    CHECK(parsed(hello) == "tls_hello_cipher_suites");
}

TEST_CASE("there is a compression method", "[client_hello]") {
    ClientHelloBuilder hello;
    hello.compression_methods = {1, 0};
    CHECK(parsed(hello) == "name=-");
    hello.compression_methods = {};
    CHECK(parsed(hello) == "tls_hello_compression_methods");
}

TEST_CASE("an extension stays in its list", "[client_hello]") {
    ClientHelloBuilder hello;
    for (const Buffer& broken : {Buffer{0}, Buffer{0, 23}, Buffer{0, 23, 0}, Buffer{0, 23, 0, 1},
                                 Buffer{0, 23, 0, 0, 0}, Buffer{0, 23, 0xff, 0xff, 1}}) {
        hello.extensions = broken;
        CHECK(parsed(hello) == "tls_extension_truncated");
    }
}

TEST_CASE("server_name and ALPN come once", "[client_hello]") {
    CHECK(parsed(usual_hello().add_server_name("blog.example.org")) == "tls_extension_twice");
    CHECK(parsed(usual_hello().add_alpn({"h2"})) == "tls_extension_twice");
    CHECK(parsed(usual_hello().add_extension(10, {}).add_extension(10, {})) == UsualText);
}

TEST_CASE("server_name has a list, and nothing else", "[client_hello]") {
    const Buffer entry = server_name_entry(0, "example.org");
    CHECK(parsed_server_name(block_u16(entry)) == "name=example.org");
    CHECK(parsed_server_name({}) == "tls_server_name");
    CHECK(parsed_server_name({0}) == "tls_server_name");
    CHECK(parsed_server_name({0, 0}) == "tls_server_name");
    CHECK(parsed_server_name(block_u16(entry) + Buffer{0}) == "tls_server_name");
    CHECK(parsed_server_name(block_u16(entry + Buffer{0})) == "tls_server_name");
    CHECK(parsed_server_name(block_u16({0})) == "tls_server_name");
    CHECK(parsed_server_name(block_u16({0, 0})) == "tls_server_name");
    CHECK(parsed_server_name(block_u16({0, 0, 2, 'a'})) == "tls_server_name");
    CHECK(parsed_server_name(Buffer{0, 15} + entry) == "tls_server_name");
}

TEST_CASE("two host names are one too many, even if they are equal", "[client_hello]") {
    const Buffer entry = server_name_entry(0, "a.example");
    CHECK(parsed_server_name(block_u16(entry + server_name_entry(0, "b.example"))) ==
          "two_names: b.example");
    CHECK(parsed_server_name(block_u16(entry + entry)) == "two_names: a.example");
}

TEST_CASE("names of other types are passed over", "[client_hello]") {
    const Buffer host = server_name_entry(0, "example.org"), other = server_name_entry(7, "x y");
    CHECK(parsed_server_name(block_u16(other + host)) == "name=example.org");
    CHECK(parsed_server_name(block_u16(host + other)) == "name=example.org");
    CHECK(parsed_server_name(block_u16(other)) == "tls_server_name_without_host");
}

TEST_CASE("a name against the rules is told with what the client sent", "[client_hello]") {
    const auto parsed_name = [](std::string_view name) {
        return parsed(ClientHelloBuilder().add_server_name(name));
    };
    CHECK(parsed_name("") == "name_empty");
    CHECK(parsed_name("192.0.2.1") == "name_is_ip_literal: 192.0.2.1");
    CHECK(parsed_name("2001:db8::1") == "name_is_ip_literal: 2001:db8::1");
    CHECK(parsed_name("../Etc") == "name_has_empty_label: ../Etc");
    CHECK(parsed_name("a/b") == "name_has_forbidden_character: a/b");
    const std::string with_nul("a\0b", 3);
    CHECK(parsed_name(with_nul) == "name_has_forbidden_character: " + with_nul);
    CHECK(parsed_name(".a") == "name_has_empty_label: .a");
    const std::string too_long(60000, 'a');
    CHECK(parsed(records_of(ClientHelloBuilder().add_server_name(too_long).message(), 16384)) ==
          "name_too_long: " + too_long);
}

TEST_CASE("ALPN has a list of names that are not empty, and nothing else", "[client_hello]") {
    CHECK(parsed_alpn(block_u16(block_u8(bytes_of("h2")))) == "name=- alpn=h2");
    CHECK(parsed_alpn({}) == "tls_alpn");
    CHECK(parsed_alpn({0}) == "tls_alpn");
    CHECK(parsed_alpn({0, 0}) == "tls_alpn");
    CHECK(parsed_alpn(block_u16({0})) == "tls_alpn");
    CHECK(parsed_alpn(block_u16({2, 'h', '2', 0})) == "tls_alpn");
    CHECK(parsed_alpn(block_u16({3, 'h', '2'})) == "tls_alpn");
    CHECK(parsed_alpn(block_u16({2, 'h', '2'}) + Buffer{0}) == "tls_alpn");
    CHECK(parsed_alpn(Buffer{0, 4, 2, 'h', '2'}) == "tls_alpn");
}

TEST_CASE("a hello as large as a session ticket makes it has its name", "[client_hello]") {
    const ClientHelloBuilder hello =
        ClientHelloBuilder().add_extension(35, Buffer(40000, 0x77)).add_server_name("example.org");
    CHECK(parsed(records_of(hello.message(), 16384)) == "name=example.org");
    CHECK(looks_at(records_of(hello.message(), 16384)) == 4);
}

}  // namespace
}  // namespace proxyd
