// SPDX-License-Identifier: MIT
//
// What a client's first bytes are, as far as the relay must know: whether sending them to another
// backend as well would do harm, and in which protocol the client can be told that there is none.
// Pure functions, used by Connection.
#pragma once

#include "base/posix/byte_reader.h"

#include <cstddef>
#include <cstdint>

namespace proxyd::shim {

// More than these are not kept for another backend.
inline constexpr size_t FirstBytesMax = 16 * 1024;

enum class ClientSpeaks : uint8_t { Nothing, Tls, Http, Other };

ClientSpeaks recognise_client(Bytes first_bytes);

// Whether a backend that got them and went away without a byte may be replaced by another one: a
// TLS ClientHello with nothing behind it (any server answers it before the client acts), whole or
// not, or the head of one HTTP/1 request whose method is safe (RFC 9110 section 9.2.1), or nothing.
bool is_harmless_to_repeat(Bytes first_bytes);

}  // namespace proxyd::shim
