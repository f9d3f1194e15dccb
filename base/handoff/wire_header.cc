// SPDX-License-Identifier: MIT
#include "base/handoff/wire_header.h"

#include <arpa/inet.h>
#include <string.h>

#include <algorithm>
#include <array>

namespace proxyd {
namespace {

constexpr std::array<uint8_t, 12> Signature = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                               0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
constexpr uint8_t CommandProxy = 0x21;  // version 2, PROXY
constexpr uint8_t FamilyUnspec = 0x00;
constexpr uint8_t FamilyTcp4 = 0x11;
constexpr uint8_t FamilyTcp6 = 0x21;
constexpr size_t FixedBytes = Signature.size() + 4;

// Stated is of the range that the specification leaves to applications (section 2.2.7).
enum TlvType : uint8_t { Alpn = 0x01, Authority = 0x02, UniqueId = 0x05, Stated = 0xe0 };

class Writer {
  public:
    explicit Writer(uint8_t* out) : begin_(out), out_(out) {}

    void bytes(const void* data, size_t size) {
        memcpy(out_, data, size);
        out_ += size;
    }
    void u8(uint8_t value) { *out_++ = value; }
    void u16(size_t value) {
        u8(static_cast<uint8_t>(value >> 8));
        u8(static_cast<uint8_t>(value));
    }
    void tlv(uint8_t type, std::string_view value, size_t bytes_max) {
        if (value.empty() || value.size() > bytes_max) return;
        u8(type);
        u16(value.size());
        bytes(value.data(), value.size());
    }
    size_t size() const { return static_cast<size_t>(out_ - begin_); }

  private:
    uint8_t* begin_;
    uint8_t* out_;
};

std::string_view as_text(Bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <typename Address>
Address copy_address(Bytes bytes) {
    Address address;
    memcpy(&address, bytes.data(), sizeof(address));
    return address;
}

uint16_t copy_port(Bytes bytes) {
    return static_cast<uint16_t>(bytes[0] << 8 | bytes[1]);
}

// The address block of the header: both addresses, then both ports. False if it is cut short.
bool read_addresses(uint32_t family, ByteReader& reader, ConnectionDescription& description) {
    if (family == FamilyTcp4) {
        const auto block = reader.take(12);
        if (!block) return false;
        description.source = SocketAddress::from_ipv4(copy_address<in_addr>(block->subspan(0, 4)),
                                                      copy_port(block->subspan(8, 2)));
        description.destination = SocketAddress::from_ipv4(
            copy_address<in_addr>(block->subspan(4, 4)), copy_port(block->subspan(10, 2)));
    } else if (family == FamilyTcp6) {
        const auto block = reader.take(36);
        if (!block) return false;
        description.source = SocketAddress::from_ipv6(copy_address<in6_addr>(block->subspan(0, 16)),
                                                      copy_port(block->subspan(32, 2)));
        description.destination = SocketAddress::from_ipv6(
            copy_address<in6_addr>(block->subspan(16, 16)), copy_port(block->subspan(34, 2)));
    }
    return true;
}

}  // namespace

size_t encode_wire_header(const ConnectionDescription& description,
                          std::span<uint8_t, WireHeaderBytesMax> out) {
    const SocketAddress& source = description.source;
    const SocketAddress& destination = description.destination;
    const bool same_family = source.family() == destination.family();

    Writer writer(out.data() + FixedBytes);
    uint8_t family = FamilyUnspec;
    if (same_family && source.family() == AF_INET) {
        family = FamilyTcp4;
        writer.bytes(&source.ipv4(), 4);
        writer.bytes(&destination.ipv4(), 4);
        writer.u16(source.port());
        writer.u16(destination.port());
    } else if (same_family && source.family() == AF_INET6) {
        family = FamilyTcp6;
        writer.bytes(&source.ipv6(), 16);
        writer.bytes(&destination.ipv6(), 16);
        writer.u16(source.port());
        writer.u16(destination.port());
    }
    writer.tlv(TlvType::Alpn, description.alpn, 255);
    writer.tlv(TlvType::Authority, description.name, 255);
    writer.tlv(TlvType::UniqueId, description.id, 128);
    if (description.is_stated) writer.tlv(TlvType::Stated, "1", 1);

    Writer fixed(out.data());
    fixed.bytes(Signature.data(), Signature.size());
    fixed.u8(CommandProxy);
    fixed.u8(family);
    fixed.u16(writer.size());
    return FixedBytes + writer.size();
}

std::optional<ConnectionDescription> decode_wire_header(Bytes payload) {
    ByteReader reader(payload);
    const auto signature = reader.take(Signature.size());
    if (!signature || !std::equal(signature->begin(), signature->end(), Signature.begin()))
        return std::nullopt;
    const auto version_command = reader.u8(), family = reader.u8();
    const auto content = reader.block_u16();
    if (!content || *version_command >> 4 != 2) return std::nullopt;

    ConnectionDescription description;
    ByteReader body(*content);
    if (*version_command != CommandProxy) return description;
    if (!read_addresses(*family, body, description)) return std::nullopt;
    while (!body.at_end()) {
        const auto type = body.u8();
        const auto value = body.block_u16();
        if (!value) break;
        if (*type == TlvType::Alpn) description.alpn = as_text(*value);
        if (*type == TlvType::Authority) description.name = as_text(*value);
        if (*type == TlvType::UniqueId) description.id = as_text(*value);
        if (*type == TlvType::Stated) description.is_stated = true;
    }
    return description;
}

}  // namespace proxyd
