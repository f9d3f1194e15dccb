// SPDX-License-Identifier: MIT
//
// What an active check says to a backend, and what it makes of the answer: pure functions. Used by
// check_probe, which has the socket.
#pragma once

#include "base/posix/byte_reader.h"
#include "base/relay/configuration.h"

#include <optional>
#include <string>
#include <string_view>

namespace proxyd::shim {

struct CheckVerdict {
    bool is_good = false;
    std::string text;  // for the log and for `status`: "HTTP 503", "TLS alert 40"
};

// The bytes to be sent once connected; "" for CheckKind::Connect. A backend that wants the PROXY
// protocol gets a header that says that nobody's connection is relayed (v1: UNKNOWN, v2: LOCAL).
// `name`: the SNI (left out if it is an address) or the Host; `random`: 96 bytes for the hello.
std::string make_check_request(const CheckConfiguration& check, ProxyProtocolVersion proxy_protocol,
                               std::string_view name, Bytes random);

inline constexpr size_t CheckRandomBytes = 96;
// No more of an answer is looked at.
inline constexpr size_t CheckReplyBytesMax = 256;

// Of all that has come so far; nothing while that doesn't tell. `is_end`: no more will come.
std::optional<CheckVerdict> judge_check_reply(const CheckConfiguration& check, Bytes reply,
                                              bool is_end);

}  // namespace proxyd::shim
