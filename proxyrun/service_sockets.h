// SPDX-License-Identifier: MIT
//
// Site sockets that a service manager holds and has passed to this process (LISTEN_FDS,
// sd_listen_fds(3); ListenDatagram= in a socket unit). Used by proxyrun, which gives them on to
// the server. They are neither opened nor bound here.
#pragma once

#include "base/posix/result.h"
#include "base/posix/unique_fd.h"

#include <cstdint>
#include <string>
#include <vector>

namespace proxyd {

struct ServiceSocket {
    UniqueFd socket;
    uint16_t edge_port = 0;  // of its file's name
};

// Takes them over, and clears the variables; none if none were passed. The error is one line for
// the user: a descriptor is no site socket of this directory.
Result<std::vector<ServiceSocket>, std::string> adopt_service_sockets(
    const std::string& site_directory);

}  // namespace proxyd
