// SPDX-License-Identifier: MIT
//
// The listening sockets: for each address that the configuration names one for each worker, which
// the kernel shares the clients out among (SO_REUSEPORT, socket(7)). Main makes and keeps them, so
// that what waits in the backlog of a worker that died is there for its successor, and hands them
// on from one configuration to the next.
#pragma once

#include "base/posix/result.h"
#include "base/posix/socket_address.h"
#include "base/posix/unique_fd.h"
#include "proxyd/configuration.h"

#include <memory>
#include <string>
#include <vector>

namespace proxyd {

// Shared by the configuration in force and the one that is to follow it.
using SharedSocket = std::shared_ptr<const UniqueFd>;

struct ListeningAddress {
    SocketAddress requested;            // as configured, perhaps with port 0
    SocketAddress address;              // with the port that the kernel chose, if it was to choose
    size_t listener = 0;                // in Configuration::listeners
    std::vector<SharedSocket> sockets;  // at least as many as there are workers, if we bind them
    bool is_listening = false;          // false until start_listening
    bool is_passed = false;             // by the service manager: there are as many as there are
};

using ListeningAddresses = std::vector<ListeningAddress>;

// Uses what `kept` has for an address again, and binds what is missing. Adds a message ("file:line:
// listen[0]: cannot listen on ...") for each address that can't be bound.
ListeningAddresses bind_listening_sockets(const Configuration& configuration,
                                          ListeningAddresses kept,
                                          std::vector<std::string>& problems);

// From then on clients are let in. The error is such a message.
Result<void, std::string> start_listening(const Configuration& configuration,
                                          ListeningAddresses& addresses);

}  // namespace proxyd
