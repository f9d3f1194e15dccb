// SPDX-License-Identifier: MIT
//
// What a daemon does first, whoever has started it. Used by the main functions of the daemons.
#pragma once

#include "base/posix/result.h"

#include <string>

namespace proxyd {

// Whoever starts us with descriptors 0 to 2 closed would find what we open next in their place, and
// log lines in it.
void fill_standard_descriptors();

// Clients are descriptors: takes as many as the system lets us have (RLIMIT_NOFILE).
void raise_descriptor_limit();

// The whole of a file, of a configuration for example.
Result<std::string> read_file(const std::string& path);

}  // namespace proxyd
