// SPDX-License-Identifier: MIT
//
// Who has a site socket: for messages to a user whose server meets another one at its place. Used
// by supervisor.
#pragma once

#include "base/posix/unique_fd.h"

#include <string>

namespace proxyd {

// "node (PID 123)"; "" if it can't be seen, as for a process of somebody else. `file_name` is in
// the site's `directory`.
std::string holder_of(BorrowedFd directory, const std::string& file_name);

}  // namespace proxyd
