// SPDX-License-Identifier: MIT
//
// What a worker of tcpshim may still do when the first client comes: receive at site sockets, ask
// resolvers, connect to backends, relay; no file can be opened, nothing
// listened at, nothing run, and no other process touched. Used by worker_main, after everything is
// open.
#pragma once

#include "base/posix/result.h"
#include "base/relay/configuration.h"

#include <span>
#include <string>

namespace proxyd::shim {

// `site_sockets` are shared with main and with the workers to come: they can be received from and
// waited for, and nothing else (confinement/shared_descriptors.h). The error is a whole message.
Result<void, std::string> enter_sandbox(const Configuration& configuration,
                                        std::span<const int> site_sockets);

}  // namespace proxyd::shim
