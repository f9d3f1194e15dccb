// SPDX-License-Identifier: MIT
//
// How a backend is written, in the configuration file and on the command line. A pure function;
// used by configuration_file and command_line.
#pragma once

#include "base/posix/result.h"
#include "base/relay/configuration.h"

#include <string>
#include <string_view>

namespace proxyd::shim {

inline constexpr std::string_view BackendForms =
    "\"nas.lan:443\", \"192.0.2.1:443\", \"[2001:db8::1]:443\", \"nas.lan\" (the client's port), "
    "\"srv:_https._tcp.nas.lan\" or \"unix:/run/app.sock\"";

// The error says what is wrong with the text, behind it: "has no host before its port".
Result<BackendConfiguration, std::string> parse_backend(std::string_view text);

}  // namespace proxyd::shim
