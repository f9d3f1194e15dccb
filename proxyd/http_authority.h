// SPDX-License-Identifier: MIT
//
// The authority of a request (RFC 3986 section 3.2): "host" or "host:port", from a target, a Host
// field or HTTP/2's :authority. Used by the parsers of HTTP heads.
#pragma once

#include "base/posix/result.h"
#include "proxyd/hello.h"

#include <string_view>

namespace proxyd {

// The name in it. Malformed gives `reason_if_malformed` for what is no authority, and the word of
// the flaw for a name that must not be used.
Result<DnsName, Malformed> name_of_authority(std::string_view authority,
                                             std::string_view reason_if_malformed);

}  // namespace proxyd
