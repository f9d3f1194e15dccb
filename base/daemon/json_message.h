// SPDX-License-Identifier: MIT
//
// JSON that comes from another process or over the control socket: an object in one line, nested no
// deeper than people write it. Used by channel and control_connection. The library reads any depth,
// but copies and writes objects recursively: a megabyte of brackets would be the end of main's
// stack.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

namespace proxyd {

inline constexpr int JsonDepthMax = 32;

// Nothing for what is no such object.
std::optional<nlohmann::json> parse_json_message(std::string_view line);

}  // namespace proxyd
