// SPDX-License-Identifier: MIT
//
// What well-known programs that work under libpreload can't do there. Used by proxyrun --check.
#pragma once

#include <string>

namespace proxyd {

// A sentence for the user; "" if there is nothing to say. `path`: of the program, whose name tells
// (through links: /usr/bin/php is php8.2 on Debian).
std::string program_note(const std::string& path);

}  // namespace proxyd
