// SPDX-License-Identifier: MIT
//
// The usual accept is three system calls: the real accept4, which checks its arguments, finds that
// there is a free descriptor number (EMFILE otherwise), and is refused (EOPNOTSUPP); recvmsg, whose
// timestamp says whose datagram it is (stand_in.h) and whose payload has the client's address; and
// the question whether what came is a TCP connection. SOCK_NONBLOCK takes a fourth, a fcntl.
//
// The real call can't be spared: recvmsg(2) with a full descriptor table loses the connection,
// where accept(2) leaves it queued, and no number that was given out before says how many others
// the program has opened since (measured: proxies that open a descriptor for each client lost one).
//
// A number that is known may meanwhile be another socket's. MSG_ERRQUEUE keeps recvmsg from
// touching what is queued there: a datagram socket of AF_UNIX knows no such queue and gives the
// next datagram, while TCP, UDP and listening sockets have nothing to give, and then it is asked
// who it is.
#include "libpreload/accept_connection.h"

#include "base/handoff/receive.h"
#include "base/handoff/wire_header.h"
#include "libpreload/connection_addresses.h"
#include "libpreload/guest_config.h"
#include "libpreload/inherited_options.h"
#include "libpreload/known_listeners.h"
#include "libpreload/real_calls.h"
#include "libpreload/stand_in.h"
#include "libpreload/stated_addresses.h"
#include "libpreload/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <optional>

namespace proxyd {
namespace {

// A connection that was taken, and of its listener what matters: of a plain one the family alone.
struct Taken {
    ReceivedConnection received;
    sa_family_t listener_family = AF_UNSPEC;
    std::optional<StandIn> stand_in;  // of a listener that isn't plain
};

enum class TakeOutcome { Connection, Failed, NoListener };

bool has_room_for_descriptor(int fd) {
    return UniqueFd::adopt(fcntl(fd, F_DUPFD_CLOEXEC, 0)).is_open();
}

// Whose datagram it was that has just come; false if it was no listener's of ours.
bool identify_listener(int fd, Taken& taken) {
    taken.listener_family = family_of_plain_listener(taken.received.timestamp_type);
    if (taken.listener_family != AF_UNSPEC) return true;
    taken.stand_in = recognise_stand_in(fd);
    if (taken.stand_in) taken.listener_family = taken.stand_in->family();
    return taken.stand_in.has_value();
}

// A signal handler that has come with the datagram may have closed the listener before it could be
// asked (measured: Apache's children do, when they are told to end). TCP loses no client by that.
bool is_handoff_of_closed_listener(Taken& taken) {
    const auto description = decode_wire_header(taken.received.payload_view());
    if (!description || !description->source.has_address()) return false;
    taken.listener_family = description->source.family();
    return true;
}

// Failed: errno is as accept(2) would have it.
TakeOutcome take_next(int fd, int flags, Taken& taken) {
    const int recvmsg_flags = MSG_ERRQUEUE | ((flags & SOCK_CLOEXEC) != 0 ? MSG_CMSG_CLOEXEC : 0);
    while (true) {
        switch (receive_connection(BorrowedFd(fd), recvmsg_flags, taken.received)) {
            case ReceiveOutcome::Connection:
                return identify_listener(fd, taken) || is_handoff_of_closed_listener(taken)
                           ? TakeOutcome::Connection
                           : TakeOutcome::NoListener;
            case ReceiveOutcome::ShutDown:
                if (!recognise_stand_in(fd)) return TakeOutcome::NoListener;
                errno = EINVAL;
                return TakeOutcome::Failed;
            case ReceiveOutcome::Failed:
                return errno == EINTR || recognise_stand_in(fd) ? TakeOutcome::Failed
                                                                : TakeOutcome::NoListener;
            case ReceiveOutcome::NotOne:
                if (!identify_listener(fd, taken)) return TakeOutcome::NoListener;
                trace("fd %d: a datagram without a connection was dropped", fd);
                // Perhaps there was a descriptor in it, and no room for that.
                if (!has_room_for_descriptor(fd)) return TakeOutcome::Failed;
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

// Gives the connection all that makes it look accepted; false if nobody knows its client.
bool make_accepted(Taken& taken, int flags, sockaddr* address, socklen_t* length) {
    const UniqueFd& connection = taken.received.connection;
    // The payload is asked first, as the client may be gone already (ENOTCONN), or be known to a
    // load balancer only.
    const auto description = decode_wire_header(taken.received.payload_view());
    SocketAddress client = description ? description->source : SocketAddress();
    if (!client.has_address()) {
        const auto peer = SocketAddress::peer_of(connection);
        if (peer) client = *peer;
    }
    const SocketAddress seen = seen_by(taken.listener_family, client);
    if (address != nullptr) {
        if (!client.has_address()) return false;
        write_address(seen, address, *length, length);
    }
    // It arrives without O_NONBLOCK, which lies in the open file (docs/HANDOFF.md).
    if ((flags & SOCK_NONBLOCK) != 0) fcntl(connection.borrow().number(), F_SETFL, O_NONBLOCK);
    const ConnectionMark mark{
        .is_mapped = taken.listener_family == AF_INET6 && client.family() == AF_INET,
        .is_stated = description && description->is_stated && client.has_address()};
    if (mark.is_stated) remember_stated_address(connection, seen);
    if (mark.is_mapped || mark.is_stated) mark.put_on(connection);
    if (taken.stand_in) pass_on_options(*taken.stand_in, connection);
    return true;
}

// The next connection of what is, or was, a listening stand-in: a descriptor, or -1 and errno, or
// nothing if it is no longer one.
std::optional<int> accept_from_listener(int fd, sockaddr* address, socklen_t* length, int flags) {
    const int errno_before = errno;
    const auto fail = [](int reason) {
        errno = reason;
        return -1;
    };
    // Asked before a connection is taken: the kernel would lose it by this mistake.
    if (address != nullptr && length == nullptr) return fail(EFAULT);
    if (address != nullptr && static_cast<int>(*length) < 0) return fail(EINVAL);

    Taken taken;
    switch (take_next(fd, flags, taken)) {
        case TakeOutcome::Failed:
            return -1;
        case TakeOutcome::NoListener:
            forget_listener(fd);
            return std::nullopt;
        case TakeOutcome::Connection:
            break;
    }
    if (!make_accepted(taken, flags, address, length)) return fail(ECONNABORTED);
    errno = errno_before;
    return taken.received.connection.release();
}

int real_accept(AcceptCall call, int fd, sockaddr* address, socklen_t* length, int flags) {
    return call == AcceptCall::Accept ? real.accept(fd, address, length)
                                      : real.accept4(fd, address, length, flags);
}

// Why a stand-in can't be accepted from: it must listen. 0 if it does; from then on it is known.
int reason_against(int fd) {
    const auto stand_in = recognise_stand_in(fd);
    if (!stand_in) return EOPNOTSUPP;
    if (!stand_in->state.is_listening) return EINVAL;
    learn_listener(fd);
    return 0;
}

}  // namespace

int accept_connection(AcceptCall call, int fd, sockaddr* address, socklen_t* length, int flags) {
    if (!guest_config().is_active) return real_accept(call, fd, address, length, flags);
    const int errno_before = errno;
    const int outcome = real_accept(call, fd, address, length, flags);
    if (outcome >= 0 || errno != EOPNOTSUPP) return outcome;
    const int reason = is_known_listener(fd) ? 0 : reason_against(fd);
    if (reason == 0) {
        errno = errno_before;
        const auto taken = accept_from_listener(fd, address, length, flags);
        if (taken) return *taken;
    }
    errno = reason != 0 ? reason : EOPNOTSUPP;
    return -1;
}

}  // namespace proxyd
