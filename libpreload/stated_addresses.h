// SPDX-License-Identifier: MIT
//
// The addresses of clients who came through a load balancer, by the balancer's word: the kernel
// knows the balancer only. Used by accept, which writes one down, and by getpeername.
//
// A fixed table without locks, checked by the socket's cookie (SO_COOKIE), which the kernel gives
// to no second socket: so a reused descriptor number finds nothing, a duplicate finds the same, and
// a forked child has a copy of the table. What is executed, or gets the connection by SCM_RIGHTS,
// has none. The newest push out the oldest: some 8000 connections are remembered.
#pragma once

#include "base/posix/socket_address.h"
#include "base/posix/unique_fd.h"

#include <optional>

namespace proxyd {

void remember_stated_address(BorrowedFd connection, const SocketAddress& client);
std::optional<SocketAddress> stated_address_of(BorrowedFd connection);

}  // namespace proxyd
