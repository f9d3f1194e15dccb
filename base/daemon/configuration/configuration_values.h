// SPDX-License-Identifier: MIT
//
// The values of a configuration file that are more than JSON: addresses, durations, paths, and the
// words for messages about them. Used by whoever reads a configuration, and where the same messages
// are due: the keys of control commands.
#pragma once

#include "base/posix/socket_address.h"

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace proxyd {

inline constexpr std::string_view AddressForms =
    "\":443\", \"192.0.2.1:443\" or \"[2001:db8::1]:443\"";

// One address, both wildcards for ":443", none if it is no address.
std::vector<SocketAddress> parse_listen_address(std::string_view text);

// "250ms", "10s", "2m", "1h"; nothing if it is anything else.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);
std::string format_duration(std::chrono::milliseconds duration);

bool is_absolute_path(std::string_view text);
std::string without_trailing_slashes(std::string_view path);

// For messages: control bytes and quotes escaped, long texts cut.
std::string printable(std::string_view text);
// A key as part of a path of keys; an empty one is shown as "".
std::string printable_key(std::string_view key);

// "did you mean 'x'?" if one of `known` is close to `word`, else the list of all of them.
std::string hint(std::string_view word, std::span<const std::string_view> known);

}  // namespace proxyd
