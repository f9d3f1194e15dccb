// SPDX-License-Identifier: MIT
//
// The keys of "routes": names, wildcards, protocol classes. Used by configuration_routes.
#pragma once

#include "base/posix/result.h"

#include <string>
#include <string_view>

namespace proxyd {

// The key in its plain form (lower-case, no trailing dot), or what is wrong with it.
Result<std::string, std::string> parse_route_key(std::string_view text);

}  // namespace proxyd
