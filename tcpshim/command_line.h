// SPDX-License-Identifier: MIT
//
// The command line of tcpshim: its table of options, and the configuration that --site, --port,
// --to and their like make. Used by main.
#pragma once

#include "base/daemon/options.h"
#include "base/posix/result.h"
#include "base/relay/configuration.h"

#include <string>

namespace proxyd::shim {

extern const Command TcpshimCommand;

// Whether the line says itself what to relay, or names a file.
bool describes_site(const CommandLine& line);

// The error is one line, without the program's name.
Result<Configuration, std::string> configuration_from(const CommandLine& line);

}  // namespace proxyd::shim
