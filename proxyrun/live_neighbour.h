// SPDX-License-Identifier: MIT
//
// live_neighbour: tells, before a server is started, that another one has its port at the site:
// bind(2) will fail then as on TCP, and the server's own message can't name site and --takeover.
// Used by proxyrun's main(). It doesn't know what the server will bind: several may share a port
// (SO_REUSEPORT), or have another address of it.
#pragma once

#include <string>
#include <vector>

namespace proxyd {

// One line; "" if nobody has any of these ports there. `pairs`: EDGE[=SERVER].
std::string live_neighbour_note(const std::string& site_directory,
                                const std::vector<std::string>& pairs);

}  // namespace proxyd
