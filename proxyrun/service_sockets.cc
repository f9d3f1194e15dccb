// SPDX-License-Identifier: MIT
#include "proxyrun/service_sockets.h"

#include "base/daemon/service_manager.h"
#include "base/handoff/site_socket.h"

#include <fmt/format.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

namespace proxyd {
namespace {

// The directory may have been named through links.
bool is_same_directory(const std::string& directory, const std::string& canonical) {
    char resolved[PATH_MAX];
    return realpath(directory.c_str(), resolved) != nullptr && canonical == resolved;
}

}  // namespace

Result<std::vector<ServiceSocket>, std::string> adopt_service_sockets(
    const std::string& site_directory) {
    const int count = sd_listen_fds(1);
    if (count < 0)
        return Unexpected{
            fmt::format("LISTEN_FDS: the sockets of the service manager can't be "
                        "taken: {}",
                        strerror(-count))};
    std::vector<ServiceSocket> sockets;
    for (int i = 0; i < count; i++) {
        ServiceSocket inherited{UniqueFd::adopt(SD_LISTEN_FDS_START + i), 0};
        const std::string path = path_of_site_socket(inherited.socket);
        const size_t slash = path.rfind('/');
        const auto name = SiteSocketName::parse(path.substr(slash + 1));
        if (slash == path.npos || !name ||
            !is_same_directory(path.substr(0, slash), site_directory))
            return Unexpected{fmt::format(
                "LISTEN_FDS: descriptor {} is no site socket: want ListenDatagram={}/PORT.sock",
                SD_LISTEN_FDS_START + i, site_directory)};
        inherited.edge_port = name->port;
        sockets.push_back(std::move(inherited));
    }
    return sockets;
}

}  // namespace proxyd
