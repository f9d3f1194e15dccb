// SPDX-License-Identifier: MIT
//
// The header list of an HTTP/2 request: decodes it (HPACK, RFC 7541, by libnghttp2) and finds the
// name in it. What a server may judge for itself is left to it; judged here is all on which two
// readers could find different names. Used by the parser of HTTP/2 request heads.
#pragma once

#include "proxyd/hello.h"

namespace proxyd {

// Decoded, names and values with 32 bytes for each field (RFC 9113 section 6.5.2): a small block
// can hold a list of any size, since a field that came once is repeated by one byte.
inline constexpr size_t HeaderListBytesMax = 65536;

// `block` is the whole field block of the first request on a connection. Never NeedMore.
HelloOutcome read_http2_header_list(Bytes block);

}  // namespace proxyd
