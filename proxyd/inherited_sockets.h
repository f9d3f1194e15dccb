// SPDX-License-Identifier: MIT
//
// Listening sockets that the service manager has passed to proxyd (socket activation), as the
// listening addresses that a generation begins with. Used by main and the supervisor. Opens and
// closes nothing.
#pragma once

#include "base/daemon/service_manager.h"
#include "proxyd/configuration.h"
#include "proxyd/listening_sockets.h"

#include <string>
#include <vector>

namespace proxyd {

// Those with the same address become one, for as many workers; with fewer sockets than workers,
// workers share them.
ListeningAddresses listening_addresses_of(std::vector<InheritedSocket> inherited);

// What is wrong with `configuration`, given what was passed: an address that no listener names.
// Nobody would accept its clients, and the manager keeps it open whatever we do.
std::vector<std::string> match_inherited_sockets(const ListeningAddresses& addresses,
                                                 const Configuration& configuration);

}  // namespace proxyd
