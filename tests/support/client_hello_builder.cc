// SPDX-License-Identifier: MIT
#include "tests/support/client_hello_builder.h"

#include <algorithm>
#include <cstddef>

namespace proxyd::test {
namespace {

constexpr uint8_t HandshakeRecord = 22;
constexpr uint8_t ClientHelloMessage = 1;
constexpr size_t RandomBytes = 32;

Buffer integer(size_t value, size_t width) {
    Buffer bytes;
    for (size_t i = width; i-- > 0;)
        bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
    return bytes;
}

Buffer part_of(const Buffer& bytes, size_t begin, size_t end) {
    return Buffer(bytes.begin() + static_cast<std::ptrdiff_t>(begin),
                  bytes.begin() + static_cast<std::ptrdiff_t>(end));
}

}  // namespace

Buffer bytes_of(std::string_view text) {
    return Buffer(text.begin(), text.end());
}

Buffer operator+(Buffer a, const Buffer& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

Buffer block_u8(const Buffer& content) {
    return integer(content.size(), 1) + content;
}
Buffer block_u16(const Buffer& content) {
    return integer(content.size(), 2) + content;
}

Buffer server_name_entry(uint8_t type, std::string_view name) {
    return Buffer{type} + block_u16(bytes_of(name));
}

Buffer protocol_names(std::initializer_list<std::string_view> protocols) {
    Buffer names;
    for (const std::string_view protocol : protocols)
        names = names + block_u8(bytes_of(protocol));
    return names;
}

ClientHelloBuilder& ClientHelloBuilder::add_extension(uint16_t type, const Buffer& content) {
    extensions = extensions + integer(type, 2) + block_u16(content);
    return *this;
}

ClientHelloBuilder& ClientHelloBuilder::add_server_name(std::string_view host_name) {
    return add_extension(0, block_u16(server_name_entry(0, host_name)));
}

ClientHelloBuilder& ClientHelloBuilder::add_alpn(
    std::initializer_list<std::string_view> protocols) {
    return add_extension(16, block_u16(protocol_names(protocols)));
}

Buffer ClientHelloBuilder::body() const {
    const Buffer fields = integer(version, 2) + Buffer(RandomBytes, 0xaa) + block_u8(session_id) +
                          block_u16(cipher_suites) + block_u8(compression_methods);
    return has_extensions ? fields + block_u16(extensions) : fields;
}

Buffer ClientHelloBuilder::message() const {
    return message_of(ClientHelloMessage, body());
}
Buffer ClientHelloBuilder::record() const {
    return record_of(message());
}

Buffer message_of(uint8_t type, const Buffer& body) {
    return Buffer{type} + integer(body.size(), 3) + body;
}

Buffer record_of(const Buffer& content) {
    return Buffer{HandshakeRecord, 3, 1} + block_u16(content);
}

Buffer records_of(const Buffer& message, size_t content_bytes_max) {
    Buffer records;
    for (size_t begin = 0; begin < message.size(); begin += content_bytes_max) {
        const size_t end = std::min(begin + content_bytes_max, message.size());
        records = records + record_of(part_of(message, begin, end));
    }
    return records;
}

Buffer split_in_two(const Buffer& message, size_t first_bytes) {
    return record_of(part_of(message, 0, first_bytes)) +
           record_of(part_of(message, first_bytes, message.size()));
}

}  // namespace proxyd::test
