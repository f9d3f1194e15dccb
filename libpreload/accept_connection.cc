// SPDX-License-Identifier: MIT
#include "libpreload/accept_connection.h"

#include "base/handoff/receive.h"
#include "base/handoff/wire_header.h"
#include "libpreload/inherited_options.h"
#include "libpreload/listener_word.h"
#include "libpreload/real_calls.h"
#include "libpreload/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <algorithm>
#include <cstddef>
#include <optional>

namespace proxyd {
namespace {

// recvmsg(2) with a full descriptor table loses the connection (the kernel drops the descriptor and
// sets MSG_CTRUNC), where accept(2) would have left it queued. So there must be room first. Another
// thread may still take the last number in between: a blocking call can't be kept from that.
bool has_room_for_descriptor(BorrowedFd stand_in) {
    return UniqueFd::adopt(fcntl(stand_in.number(), F_DUPFD_CLOEXEC, 0)).is_open();
}

// errno as accept(2) would have it, or 0 when the connection is there.
int receive_next(const StandIn& stand_in, int flags, ReceivedConnection& received) {
    const int recvmsg_flags = (flags & SOCK_CLOEXEC) != 0 ? MSG_CMSG_CLOEXEC : 0;
    while (true) {
        if (!has_room_for_descriptor(stand_in.fd)) return errno;
        switch (receive_connection(stand_in.fd, recvmsg_flags, received)) {
            case ReceiveOutcome::Connection:
                return 0;
            case ReceiveOutcome::ShutDown:
                return EINVAL;
            case ReceiveOutcome::Failed:
                return errno;
            case ReceiveOutcome::NotOne:
                trace("fd %d: a datagram without a connection was dropped", stand_in.fd.number());
                break;
        }
    }
}

// An IPv4 client of an IPv6 listener, and the other way round.
SocketAddress unmapped(const SocketAddress& address) {
    if (address.family() != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&address.ipv6())) return address;
    in_addr ipv4;
    memcpy(&ipv4, &address.ipv6().s6_addr[12], sizeof(ipv4));
    return SocketAddress::from_ipv4(ipv4, address.port());
}

// The address in the listener's family: a program knows which one that is, and is not prepared for
// another (measured: nginx drops such a client without a word). IPv4 has no address for an IPv6
// client, so it gets none but its port.
SocketAddress seen_by(sa_family_t listener_family, const SocketAddress& client) {
    if (listener_family == AF_INET6) return client.as_v4_mapped();
    const SocketAddress address = unmapped(client);
    if (address.family() == AF_INET) return address;
    return SocketAddress::from_ipv4(in_addr{INADDR_ANY}, address.port());
}

// The client may be gone already (ENOTCONN); the payload still knows who it was.
SocketAddress client_of(const ReceivedConnection& received) {
    const auto peer = SocketAddress::peer_of(received.connection);
    if (peer) return *peer;
    const auto description = decode_wire_header(received.payload_view());
    return description ? description->source : SocketAddress();
}

}  // namespace

int accept_connection(const StandIn& stand_in, sockaddr* address, socklen_t* length, int flags) {
    const int saved_errno = errno;
    const auto fail = [](int reason) {
        errno = reason;
        return -1;
    };
    const ListenerWord word = ListenerWord::of(stand_in.fd);
    if (!word.is_listening()) return fail(EINVAL);
    // Asked before a connection is taken: the kernel would lose it by this mistake.
    if (address != nullptr && length == nullptr) return fail(EFAULT);
    if (address != nullptr && static_cast<int>(*length) < 0) return fail(EINVAL);

    ReceivedConnection received;
    const int reason = receive_next(stand_in, flags, received);
    if (reason != 0) return fail(reason);

    if (address != nullptr) {
        const SocketAddress client = client_of(received);
        if (!client.has_address()) return fail(ECONNABORTED);
        const SocketAddress seen = seen_by(stand_in.family(), client);
        memcpy(address, seen.kernel_address(), std::min(*length, seen.kernel_length()));
        *length = seen.kernel_length();
    }
    // O_NONBLOCK lies in the open file and came along from the sender; accept never inherits it.
    fcntl(received.connection.borrow().number(), F_SETFL,
          (flags & SOCK_NONBLOCK) != 0 ? O_NONBLOCK : 0);
    pass_on_options(stand_in, word, received.connection);
    errno = saved_errno;
    return received.connection.release();
}

}  // namespace proxyd
