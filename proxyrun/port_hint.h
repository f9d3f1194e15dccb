// SPDX-License-Identifier: MIT
//
// Tells a user whose server listens on a port that proxyd's clients don't come to: nothing else
// would, since libpreload never prints. Used by proxyrun.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace proxyd {

// One line, without the program's name. `pairs`: EDGE[=SERVER], as given.
std::string port_hint(const std::set<uint16_t>& listening, const std::vector<std::string>& pairs);

// For a server that takes proxyrun's place: leaves a process behind that looks, for up to ten
// seconds, whether the server opens other ports and none of these, writes the hint to standard
// error, and ends. Only where standard error is a terminal: whoever sits there is new to this, and
// a service should not have a process that is not its own.
void watch_for_port_hint(const std::string& site_directory, const std::vector<std::string>& pairs);

}  // namespace proxyd
