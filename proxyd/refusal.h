// SPDX-License-Identifier: MIT
//
// What a rejected client is told, in its own protocol. Used by session.
// TLS: a fatal alert in a record of its own (RFC 8446 sections 5.1 and 6). HTTP: a response with
// one line of text that ends the connection (RFC 9110 section 15).
#pragma once

#include "proxyd/hello.h"

#include <string>
#include <string_view>

namespace proxyd {

enum class Refusal {
    NoRoute,      // unrecognized_name; 421
    SiteTrouble,  // internal_error; 503
    Limit,        // internal_error; 503
    Malformed,    // decode_error; 400
    Address,      // an IP address instead of a name: decode_error; 400
    Forbidden,    // access_denied; 403
    TooLate,      // decode_error; 408
};

// The bytes to send; "" for a protocol that has no word for it. `reason` is the access log's.
std::string refusal_answer(Protocol protocol, Refusal refusal, std::string_view reason);

}  // namespace proxyd
