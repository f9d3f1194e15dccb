// SPDX-License-Identifier: MIT
//
// What a worker of tcpshim may still do when the first client comes: receive at site sockets, ask
// resolvers, connect to backends, relay; no file can be opened,
// nothing listened at, nothing run. Used by worker_main, after everything is open.
#pragma once

#include "base/posix/result.h"
#include "base/relay/configuration.h"

#include <string>

namespace proxyd::shim {

// The error is a whole message.
Result<void, std::string> enter_sandbox(const Configuration& configuration);

}  // namespace proxyd::shim
