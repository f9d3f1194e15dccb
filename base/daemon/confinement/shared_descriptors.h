// SPDX-License-Identifier: MIT
//
// Sockets that a worker shares with main and with the workers after it: an open file each, so what
// one does to it, all have. Used by the daemons' sandboxes, and by whoever is done with such a one.
#pragma once

#include "base/posix/result.h"
#include "base/posix/unique_fd.h"

#include <span>
#include <string>

namespace proxyd {

// From now on these can be waited for, accepted at and received from; to connect, bind or shut one
// down, or to set an option of it, ends the process with SIGSYS (seccomp(2)). The kernel knows them
// by their numbers, which must therefore never be given to anything else: see below. Numbers in a
// row cost little, thousands that are scattered don't fit. The error is a whole message.
Result<void, std::string> protect_shared_descriptors(std::span<const int> numbers);

// Puts standard input, which must be /dev/null, in its place (dup3(2)).
void retire_shared_descriptor(UniqueFd descriptor);

}  // namespace proxyd
