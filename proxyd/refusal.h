// SPDX-License-Identifier: MIT
//
// What a rejected client is told, in its own protocol. Used by session.
// TLS: a fatal alert in a record of its own (RFC 8446 sections 5.1 and 6). HTTP: a response with
// one line of text that ends the connection (RFC 9110 section 15). HTTP/2: such a response on the
// stream of the request, or GOAWAY with the text if there was none. SSH: a version and a disconnect
// message (RFC 4253 section 11.1), which the client shows to its user.
#pragma once

#include "proxyd/hello.h"

#include <string>
#include <string_view>

namespace proxyd {

enum class Refusal {
    NoRoute,      // unrecognized_name; 421
    SiteTrouble,  // internal_error; 503
    Limit,        // internal_error; 503
    Stopping,     // internal_error; 503
    Malformed,    // decode_error; 400
    Address,      // an IP address instead of a name: decode_error; 400
    Forbidden,    // access_denied; 403
    TooLate,      // decode_error; 408
};

// The bytes to send; "" for a protocol that has no word for it. `reason` is the access log's, and
// `http2_stream` that of the request, 0 if there was none.
std::string refusal_answer(Protocol protocol, Refusal refusal, std::string_view reason,
                           uint32_t http2_stream = 0);

}  // namespace proxyd
