// SPDX-License-Identifier: MIT
//
// HostsFile: the names of /etc/hosts (hosts(5)), read once. Used by resolver, before name servers.
#pragma once

#include "base/posix/socket_address.h"

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace proxyd::shim {

class HostsFile {
  public:
    HostsFile() = default;
    // Lines that aren't understood are left out, as everybody who reads such a file does.
    explicit HostsFile(std::string_view text);
    // Nothing is in it if the file can't be read.
    static HostsFile load(const char* path);

    // Port 0; nullptr if the name, in lower case, isn't there.
    const std::vector<SocketAddress>* find(std::string_view name) const;

  private:
    std::map<std::string, std::vector<SocketAddress>, std::less<>> names_;
};

}  // namespace proxyd::shim
