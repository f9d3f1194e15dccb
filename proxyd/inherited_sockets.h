// SPDX-License-Identifier: MIT
//
// Which configured listener each socket of the service manager (socket activation) is for. Used by
// the supervisor before it binds, and at a reload. A pure function: opens and closes nothing.
#pragma once

#include "base/posix/result.h"
#include "base/posix/socket_address.h"
#include "proxyd/configuration.h"

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace proxyd {

// One of the configured addresses: configuration.listeners[listener].addresses[address].
struct ConfiguredAddress {
    size_t listener = 0;
    size_t address = 0;

    friend bool operator==(const ConfiguredAddress&, const ConfiguredAddress&) = default;
};

// One for each of `inherited`, in their order. An inherited socket that no listener names, or more
// of them for one address than there are workers to serve them, are errors: nobody would accept
// its clients, and the manager keeps it open whatever we do.
Result<std::vector<ConfiguredAddress>, std::vector<std::string>> match_inherited_sockets(
    std::span<const SocketAddress> inherited, const Configuration& configuration, size_t workers);

}  // namespace proxyd
