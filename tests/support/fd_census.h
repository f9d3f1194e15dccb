// SPDX-License-Identifier: MIT
//
// Which descriptors this process has open, and what a descriptor is. Used by every test that makes
// some: the census before and after must be equal, and what was passed must be the same file.
#pragma once

#include "base/posix/unique_fd.h"

#include <sys/types.h>

#include <map>
#include <string>

namespace proxyd::test {

// Number and target ("socket:[4711]") of each, from /proc/self/fd.
std::map<int, std::string> open_fds();

// The same for two descriptors if and only if they are one open file's (of sockets and pipes).
ino_t inode_of(BorrowedFd fd);

bool is_close_on_exec(BorrowedFd fd);
bool is_blocking(BorrowedFd fd);

}  // namespace proxyd::test
