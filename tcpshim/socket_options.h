// SPDX-License-Identifier: MIT
//
// Options of clients' and backends' sockets. What the kernel refuses (a Unix socket has no TCP
// options) is no reason to end a connection, so most callers don't look at the result. Used by
// Connection, relay_direction and connect_attempt.
#pragma once

#include "base/posix/unique_fd.h"

#include <chrono>

namespace proxyd::shim {

// False: errno says why.
bool set_option(BorrowedFd socket, int level, int name, int value);

// close(2) sends a reset from now on, and what is not sent yet is dropped.
void reset_at_close(BorrowedFd socket);

// Of TCP connections; 0: the kernel's.
void set_user_timeout(BorrowedFd socket, std::chrono::milliseconds timeout);
void set_keepalive(BorrowedFd socket, std::chrono::milliseconds after);

}  // namespace proxyd::shim
