// SPDX-License-Identifier: MIT
//
// Generation: one configuration in force, or about to be, with all that main has opened for it. The
// workers of a generation are forked while it is there. A reload makes the next one; what both have
// in common, the listening sockets above all, is handed on.
#pragma once

#include "base/daemon/confinement/privileges.h"
#include "base/posix/result.h"
#include "base/posix/unique_fd.h"
#include "proxyd/configuration.h"
#include "proxyd/configured_routes.h"
#include "proxyd/listening_sockets.h"
#include "proxyd/relay_plan.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace proxyd {

// What is wrong, each a whole line.
using Problems = std::vector<std::string>;

struct Generation {
    uint64_t number = 0;
    std::string text;  // of the configuration file
    Configuration configuration;
    std::shared_ptr<const ConfiguredRoutes> routes;
    User user;
    ListeningAddresses addresses;
    UniqueFd access_log;
    UniqueFd metrics_socket;  // not open if metrics are not served
    RelayPlan relay;          // for the routes to TCP servers
};

Result<std::string, Problems> read_configuration_text(const std::string& file);

// What would fail although the configuration is right.
void add_sites_problem(const Configuration& configuration, Problems& problems);
// Where logs and sockets are to be, which a start needs.
std::vector<std::string> warnings_of_missing_directories(const Configuration& configuration);

// Opens everything, or says all that is in the way and leaves nothing behind. What `current`, which
// may be null, has open already is used again.
Result<std::unique_ptr<Generation>, Problems> prepare_generation(uint64_t number, std::string text,
                                                                 Configuration configuration,
                                                                 const Generation* current);

}  // namespace proxyd
