// SPDX-License-Identifier: MIT
//
// What getpeername and getsockname tell of a connection that came by a handoff, where it isn't what
// the kernel says: the client that a load balancer has stated, IPv4 addresses of an IPv6 listener's
// connections, and the port that the server bound. Used by accept and by those two wrappers.
//
// A connection of which something else is to be told carries a mark in the kernel, so that it is
// found again after dup, fork, exec and SCM_RIGHTS: a value of TCP_SYNCNT, which means something to
// a socket only while it connects (tcp(7)), and which no program chooses.
#pragma once

#include "base/posix/socket_address.h"
#include "base/posix/unique_fd.h"

namespace proxyd {

struct ConnectionMark {
    bool is_mapped = false;  // IPv4, and its listener is IPv6
    bool is_stated = false;  // the client's address is in the table (stated_addresses.h)

    static ConnectionMark of(BorrowedFd connection);
    void put_on(BorrowedFd connection) const;
};

// Repairs the successful answer of the real call, for which there were `room` bytes. Keeps errno.
void tell_peer(int fd, sockaddr* address, socklen_t room, socklen_t* length);
void tell_local(int fd, sockaddr* address, socklen_t room, socklen_t* length);

// Writes as much of `told` as there is room for, and its whole length, as the kernel does.
void write_address(const SocketAddress& told, sockaddr* address, socklen_t room, socklen_t* length);

}  // namespace proxyd
