// SPDX-License-Identifier: MIT
//
// What a client is told when no backend could be had, in its own protocol: a fatal TLS alert
// internal_error (RFC 8446 section 6), or an HTTP/1.1 response with one line of text (RFC 9110
// section 15.6). Used by Connection; a client that speaks something else is only closed.
#pragma once

#include "tcpshim/connector.h"
#include "tcpshim/first_bytes.h"

#include <string>

namespace proxyd::shim {

// "" for a protocol that has no word for it.
std::string closing_words(ClientSpeaks protocol, ConnectFailure failure);

}  // namespace proxyd::shim
