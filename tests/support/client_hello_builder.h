// SPDX-License-Identifier: MIT
//
// Makes ClientHellos for tests, right and wrong ones: every field is open to the test, and lengths
// are what the content gives. Used by the unit tests; knows nothing of the parser.
#pragma once

#include <stdint.h>

#include <initializer_list>
#include <string_view>
#include <vector>

namespace proxyd::test {

using Buffer = std::vector<uint8_t>;

Buffer bytes_of(std::string_view text);
Buffer operator+(Buffer a, const Buffer& b);

// The content behind its length (RFC 8446 section 3.4).
Buffer block_u8(const Buffer& content);
Buffer block_u16(const Buffer& content);

// One entry of server_name's list, and the protocol_name_list's content.
Buffer server_name_entry(uint8_t type, std::string_view name);
Buffer protocol_names(std::initializer_list<std::string_view> protocols);

struct ClientHelloBuilder {
    uint16_t version = 0x0303;
    Buffer session_id = Buffer(32, 0x5e);
    Buffer cipher_suites = {0x13, 0x01, 0x13, 0x02, 0xc0, 0x2f};
    Buffer compression_methods = {0};
    bool has_extensions = true;
    Buffer extensions;

    ClientHelloBuilder& add_extension(uint16_t type, const Buffer& content);
    ClientHelloBuilder& add_server_name(std::string_view host_name);
    ClientHelloBuilder& add_alpn(std::initializer_list<std::string_view> protocols);

    Buffer body() const;     // the message without its header
    Buffer message() const;  // with its header
    Buffer record() const;   // the message in one record
};

Buffer message_of(uint8_t type, const Buffer& body);
Buffer record_of(const Buffer& content);
// The message in records of `content_bytes_max` bytes, the last one shorter.
Buffer records_of(const Buffer& message, size_t content_bytes_max);
// The message in two records, cut after `first_bytes`.
Buffer split_in_two(const Buffer& message, size_t first_bytes);

}  // namespace proxyd::test
