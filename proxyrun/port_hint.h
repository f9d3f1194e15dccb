// SPDX-License-Identifier: MIT
//
// Tells a user whose server listens on a port that proxyd's clients don't come to, or without the
// library: nothing else would, since libpreload never prints. Used by proxyrun.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace proxyd {

// One line, without the program's name. `listening`: which processes have which ports open;
// `pairs`: EDGE[=SERVER], as given. If one of these is open, the library isn't in that process.
std::string port_hint(const std::map<uint16_t, pid_t>& listening,
                      const std::vector<std::string>& pairs);

// For a server that takes proxyrun's place: leaves a process behind that looks, for up to ten
// seconds, whether the server opens ports of its own and none of ours, writes the hint to standard
// error, and ends. Only where standard error is a terminal: whoever sits there is new to this, and
// a service should not have a process that is not its own.
void watch_for_port_hint(const std::string& site_directory, const std::vector<std::string>& pairs);

}  // namespace proxyd
