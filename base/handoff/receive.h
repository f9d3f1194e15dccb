// SPDX-License-Identifier: MIT
//
// The receiving half of the handoff contract (docs/HANDOFF.md). Used by libpreload;
// needs libc only, neither allocates nor locks, and is async-signal-safe.
//
// What usually goes wrong here, and doesn't: surplus descriptors leak; MSG_CTRUNC, which the kernel
// also sets when the descriptor table is full or a security module refuses, is taken for a bug;
// the received thing is used before anyone asked the kernel what it is; a datagram of no bytes is
// taken for the end of the world.
#pragma once

#include "base/handoff/wire_header.h"
#include "base/posix/unique_fd.h"

#include <array>

namespace proxyd {

enum class ReceiveOutcome {
    Connection,  // `connection` is open
    NotOne,      // a datagram came that is no handoff; all that it carried is closed: go on
    ShutDown,    // shutdown(2) was called on the site socket: nothing will come any more
    Failed,      // recvmsg(2) failed; errno says why (EAGAIN: nothing there)
};

// What the kernel is asked to be sure of. Anything: the caller asks, or finds out by using it.
enum class ReceivedKind { TcpConnection, Anything };

struct ReceivedConnection {
    UniqueFd connection;                                // a connected TCP socket, if that was asked
    std::array<uint8_t, WireHeaderBytesMax> payload{};  // as it came, cut at this size
    size_t payload_bytes = 0;
    int timestamp_type = 0;  // SCM_TIMESTAMP or SCM_TIMESTAMPNS, where the site socket asks for one

    Bytes payload_view() const { return Bytes(payload).first(payload_bytes); }
};

// Takes one handoff from `site_socket`. `recvmsg_flags`: MSG_CMSG_CLOEXEC and MSG_DONTWAIT as
// wanted; blocks if the socket does and the latter isn't given. Also after NotOne, timestamp_type
// is that of the datagram.
ReceiveOutcome receive_connection(BorrowedFd site_socket, int recvmsg_flags,
                                  ReceivedConnection& received,
                                  ReceivedKind kind = ReceivedKind::TcpConnection);

// Whether it is one, of whatever age, and no listener.
bool is_tcp_connection(BorrowedFd socket);

}  // namespace proxyd
