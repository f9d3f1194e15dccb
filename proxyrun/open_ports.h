// SPDX-License-Identifier: MIT
//
// What sockets processes have open: TCP ports that they listen on themselves, in this network
// namespace, and receiving sockets in a site directory. Used by proxyrun to tell a user who gave
// the wrong ports, and to see whether a server has gone into the background. Of a process that may
// not be looked at nothing is found.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace proxyd {

struct OpenPorts {
    // On TCP, of either family, and one of the processes that do.
    std::map<uint16_t, pid_t> listening;
    bool has_site_socket = false;  // bound in the site directory

    static OpenPorts of(const std::vector<pid_t>& processes, const std::string& site_directory);
};

// Those of these sockets that any of these processes has open.
std::set<ino_t> open_among(const std::set<ino_t>& sockets, const std::vector<pid_t>& processes);

}  // namespace proxyd
