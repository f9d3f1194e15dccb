// SPDX-License-Identifier: MIT
//
// The sending half of the handoff contract (docs/HANDOFF.md). Used by proxyd.
#pragma once

#include "base/posix/byte_reader.h"
#include "base/posix/result.h"
#include "base/posix/unique_fd.h"

namespace proxyd {

// A non-blocking datagram socket that is connected to the site socket `site_socket`, a descriptor
// that open(2) gave with O_PATH. Going through the descriptor needs no path that fits sun_path and
// follows no link that was put there since. One sender serves one site socket only: a connected
// sender alone gets a truthful POLLOUT, and a stalled receiver fills nobody else's buffer.
// Errors: ECONNREFUSED (nobody has the socket open), EACCES (its mode), EPROTOTYPE (no datagram
// socket), or what socket(2) gives.
Result<UniqueFd> connect_sender(BorrowedFd site_socket);

// Sends one handoff: the connection's descriptor and the payload, in one datagram. Borrows both
// descriptors; after success the caller closes its copy of `connection`.
// Errors: EAGAIN (the receiver's queue is full: wait until `sender` is writable), ECONNREFUSED (the
// receiver is gone: this sender is of no more use), ETOOMANYREFS (too many descriptors in flight).
Result<void> send_connection(BorrowedFd sender, BorrowedFd connection, Bytes payload);

}  // namespace proxyd
