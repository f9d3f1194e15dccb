// SPDX-License-Identifier: MIT
#include "tcpshim/first_bytes.h"

#include "tests/support/client_hello_builder.h"
#include "tests/unit/catch.h"

using namespace proxyd;
using namespace proxyd::shim;
using proxyd::test::Buffer;
using proxyd::test::bytes_of;
using proxyd::test::ClientHelloBuilder;
using proxyd::test::operator+;

namespace {

Buffer hello() {
    return ClientHelloBuilder{}.add_server_name("blog.example.org").record();
}

// The message in two records, the first one with so many bytes of it.
Buffer hello_in_two_records(size_t first) {
    const Buffer message = ClientHelloBuilder{}.add_server_name("blog.example.org").message();
    const auto middle = message.begin() + static_cast<ptrdiff_t>(first);
    const Buffer header = {22, 3, 1};
    return header + test::block_u16(Buffer(message.begin(), middle)) + header +
           test::block_u16(Buffer(middle, message.end()));
}

}  // namespace

TEST_CASE("first_bytes: what the client speaks is told from its first bytes", "[first_bytes]") {
    CHECK(recognise_client({}) == ClientSpeaks::Nothing);
    CHECK(recognise_client(hello()) == ClientSpeaks::Tls);
    CHECK(recognise_client(bytes_of("GET / HTTP/1.1\r\n")) == ClientSpeaks::Http);
    CHECK(recognise_client(bytes_of("POST /")) == ClientSpeaks::Http);
    CHECK(recognise_client(bytes_of("PRI * HTTP/2.0\r\n")) == ClientSpeaks::Other);
    CHECK(recognise_client(bytes_of("SSH-2.0-x\r\n")) == ClientSpeaks::Other);
    CHECK(recognise_client(bytes_of("GET")) == ClientSpeaks::Other);
    CHECK(recognise_client(bytes_of(" GET /")) == ClientSpeaks::Other);
}

TEST_CASE("first_bytes: a ClientHello may be repeated, cut anywhere", "[first_bytes]") {
    const Buffer whole = hello();
    for (size_t size = 2; size <= whole.size(); size++) {
        CAPTURE(size);
        CHECK(is_harmless_to_repeat(Bytes(whole).first(size)));
    }
    CHECK(is_harmless_to_repeat(hello_in_two_records(1 + 3 + 2)));
    CHECK(is_harmless_to_repeat(hello_in_two_records(60)));
}

TEST_CASE("first_bytes: what follows a ClientHello is not to be repeated", "[first_bytes]") {
    CHECK_FALSE(is_harmless_to_repeat(hello() + Buffer{23, 3, 3, 0, 1, 'x'}));
    CHECK_FALSE(is_harmless_to_repeat(hello() + Buffer{20, 3, 3, 0, 1, 1}));
    CHECK_FALSE(is_harmless_to_repeat(hello() + hello()));
    CHECK_FALSE(is_harmless_to_repeat(hello() + Buffer{22}));
    CHECK_FALSE(is_harmless_to_repeat(hello_in_two_records(60) + Buffer{23, 3, 3, 0, 1, 'x'}));
    Buffer two_messages = {22, 3, 1, 0, 9, 1, 0, 0, 1, 'x', 1, 0, 0, 0};
    CHECK_FALSE(is_harmless_to_repeat(two_messages));
    CHECK_FALSE(is_harmless_to_repeat(Buffer{22, 3, 1, 0, 5, 2, 0, 0, 1, 'x'}));
}

TEST_CASE("first_bytes: requests may be repeated if their method is safe", "[first_bytes]") {
    CHECK(is_harmless_to_repeat({}));
    CHECK(is_harmless_to_repeat(bytes_of("GET / HTTP/1.1\r\nHost: a\r\n\r\n")));
    CHECK(is_harmless_to_repeat(bytes_of("HEAD / HT")));
    CHECK(is_harmless_to_repeat(bytes_of("OPTIONS * HTTP/1.1\r\n\r\n")));
    CHECK_FALSE(is_harmless_to_repeat(bytes_of("POST / HTTP/1.1\r\n\r\n")));
    CHECK_FALSE(is_harmless_to_repeat(bytes_of("DELETE / HTTP/1.1\r\n\r\n")));
    CHECK_FALSE(is_harmless_to_repeat(bytes_of("GETS / HTTP/1.1\r\n\r\n")));
    CHECK_FALSE(is_harmless_to_repeat(bytes_of("GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\n\r\n")));
    CHECK_FALSE(is_harmless_to_repeat(bytes_of("EHLO there\r\n")));
    CHECK_FALSE(is_harmless_to_repeat(bytes_of("G")));
}
