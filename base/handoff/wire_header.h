// SPDX-License-Identifier: MIT
//
// The payload of a handoff: a PROXY protocol version 2 header that describes the connection.
// Source: "The PROXY protocol", versions 1 & 2, section 2.2 (binary header) and 2.2.7 (TLVs).
// Written by proxyd, read by receivers. It never allocates; views point into the caller's bytes.
#pragma once

#include "base/posix/byte_reader.h"
#include "base/posix/socket_address.h"

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace proxyd {

struct ConnectionDescription {
    SocketAddress source;       // the client
    SocketAddress destination;  // the address that the client connected to; source's family
    std::string_view alpn;      // TLV 0x01: the first protocol that the client offered; "" if none
    std::string_view name;  // TLV 0x02: the name, lower-case, without a trailing dot; "" if none
    std::string_view id;    // TLV 0x05: the session id that proxyd logs, at most 128 bytes
    // TLV 0xE0: the addresses are what a load balancer in front has stated, not the socket's own.
    bool is_stated = false;
};

// 16 bytes, two IPv6 addresses and ports, four TLVs at their longest (255, 255, 128 and 1 bytes).
inline constexpr size_t WireHeaderBytesMax = 16 + 36 + (3 + 255) + (3 + 255) + (3 + 128) + (3 + 1);

// Writes the header; returns its size. Values longer than the above are left out, as are empty
// ones.
size_t encode_wire_header(const ConnectionDescription& description,
                          std::span<uint8_t, WireHeaderBytesMax> out);

// Reads a header; nothing if `payload` is not one (a receiver accepts any payload). TLVs that are
// not known are passed over; a header of command LOCAL or of another family has no addresses.
std::optional<ConnectionDescription> decode_wire_header(Bytes payload);

}  // namespace proxyd
