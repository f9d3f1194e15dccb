// SPDX-License-Identifier: MIT
//
// From the moment that the port is ours, failure is failure: falling back to libc would open the
// port to the network behind the back of a person who thinks that it is closed.
#include "libpreload/bind_listener.h"

#include "base/handoff/site_socket.h"
#include "base/posix/result.h"
#include "base/posix/socket_address.h"
#include "libpreload/epoll_registrations.h"
#include "libpreload/guest_config.h"
#include "libpreload/inherited_options.h"
#include "libpreload/known_listeners.h"
#include "libpreload/prepared_sockets.h"
#include "libpreload/process_descriptors.h"
#include "libpreload/readable_memory.h"
#include "libpreload/real_calls.h"
#include "libpreload/signal_driven_io.h"
#include "libpreload/site_directory.h"
#include "libpreload/stand_in.h"
#include "libpreload/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

namespace proxyd {
namespace {

// Somebody who has no lock either has taken a name or a prepared socket in the same moment.
constexpr Errno Again{EAGAIN};
constexpr int AttemptsMax = 16;

int int_option(int fd, int level, int option) {
    int value = -1;
    socklen_t length = sizeof(value);
    return real.getsockopt(fd, level, option, &value, &length) == 0 ? value : -1;
}

// A TCP socket of the address's family that is not bound yet. The real bind has the right answer
// for anything else.
bool is_fresh_tcp_socket(int fd, sa_family_t family) {
    if (int_option(fd, SOL_SOCKET, SO_TYPE) != SOCK_STREAM ||
        int_option(fd, SOL_SOCKET, SO_DOMAIN) != family)
        return false;
    const int protocol = int_option(fd, SOL_SOCKET, SO_PROTOCOL);
    if (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP) return false;
    sockaddr_storage storage{};
    socklen_t length = sizeof(storage);
    auto* const generic = reinterpret_cast<sockaddr*>(&storage);
    return real.getsockname(fd, generic, &length) == 0 &&
           SocketAddress::from_kernel(generic, length).port() == 0;
}

// For an IPv4 socket the kernel takes AF_UNSPEC with 0.0.0.0 for AF_INET, as of old (ip(7) doesn't
// tell; measured).
SocketAddress address_to_bind(const sockaddr* address, socklen_t length) {
    SocketAddress wanted = SocketAddress::from_kernel(address, length);
    if (wanted.has_address() || length < sizeof(sockaddr_in) || address->sa_family != AF_UNSPEC)
        return wanted;
    sockaddr_in ipv4;
    memcpy(&ipv4, address, sizeof(ipv4));
    if (ipv4.sin_addr.s_addr != htonl(INADDR_ANY)) return wanted;
    return SocketAddress::from_ipv4(ipv4.sin_addr, ntohs(ipv4.sin_port));
}

// An IPv6 address that is neither :: nor v4-mapped makes the kernel set IPV6_V6ONLY (measured).
bool meets_ipv6_only(int fd, const SocketAddress& address) {
    if (address.family() != AF_INET6 || IN6_IS_ADDR_V4MAPPED(&address.ipv6())) return false;
    return !address.is_wildcard() || int_option(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 1;
}

// Where the trouble is the site directory's, say it in words that bind has for a TCP address.
int errno_for_program(Errno reason) {
    switch (reason.number) {
        case EACCES:
        case EPERM:
        case EROFS:
        case EAFNOSUPPORT:
            return EACCES;  // the last: systemd's RestrictAddressFamilies=
        case ENOENT:
        case ENOTDIR:
        case ELOOP:
            return EADDRNOTAVAIL;
        case EADDRINUSE:
            return EADDRINUSE;
        default:
            return ENOBUFS;
    }
}

// What the program has set on its TCP socket is the listener's from here on.
Result<void> prepare(BorrowedFd stand_in, int tcp_fd, const InstanceLabel& label) {
    const int nonblocking = fcntl(tcp_fd, F_GETFL) & O_NONBLOCK;
    if (fcntl(stand_in.number(), F_SETFL, nonblocking) != 0) return Unexpected{Errno::last()};
    const UniqueFd untouched =
        UniqueFd::adopt(socket(label.address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!untouched.is_open()) return Unexpected{Errno::last()};
    StandIn listener{stand_in, ListenerState::of(stand_in).value_or(ListenerState())};
    listener.state.label = label;
    listener.state.claimant = getpid();
    listener.state.claimant_start = ListenerState::start_of(getpid());
    listener.state.is_listening = false;
    carry_options(BorrowedFd(tcp_fd), untouched, listener);
    if (!listener.store()) return Unexpected{Errno{ENOBUFS}};
    return {};
}

// The stand-in takes the number of a descriptor of the program's socket, with its FD_CLOEXEC and
// its epoll registrations.
Result<void> put_at(BorrowedFd stand_in, int number) {
    EpollRegistrations registrations = EpollRegistrations::of(number);
    const int cloexec = fcntl(number, F_GETFD) & FD_CLOEXEC;
    if (dup3(stand_in.number(), number, cloexec != 0 ? O_CLOEXEC : 0) < 0)
        return Unexpected{Errno::last()};
    registrations.restore(number);
    forget_listener(number);  // it must listen first
    return {};
}

// Under all numbers that the socket has in this process.
Result<void> put_in_place(BorrowedFd stand_in, int tcp_fd) {
    const SocketLink tcp_socket(tcp_fd);
    const auto placed = put_at(stand_in, tcp_fd);
    if (!placed) return placed;
    for_each_descriptor(getpid(), [&](int number, std::string_view link) {
        if (link == tcp_socket.view()) (void)put_at(stand_in, number);
    });
    return {};
}

// What a rename says if somebody else was faster.
Result<void> or_again(Result<void> placed) {
    if (!placed && (placed.error() == Errno{EEXIST} || placed.error() == Errno{ENOENT}))
        return Unexpected{Again};
    return placed;
}

Result<void> make_and_place(int tcp_fd, uint16_t edge_port, const InstanceLabel& label,
                            SiteDirectory& directory, bool replaces) {
    const UniqueFd stand_in = UniqueFd::adopt(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!stand_in.is_open()) return Unexpected{Errno::last()};
    const auto prepared = prepare(stand_in, tcp_fd, label);
    if (!prepared) return prepared;
    SiteSocketName::Text instance_text;
    const SiteSocketName made{edge_port, unique_instance("new", stand_in, instance_text)};
    const auto bound =
        bind_hidden_site_socket(stand_in, directory.fd(), guest_config().site_prefix(), made);
    if (!bound) return bound;
    const BoundName hidden = BoundName::of(stand_in);
    InstanceLabel::Text text;
    const auto placed =
        directory.place(hidden.text.data(), {edge_port, label.format(text)}, replaces);
    if (!placed) {
        const Errno reason = placed.error();
        unlinkat(directory.fd().number(), hidden.text.data(), 0);
        return or_again(Unexpected{reason});
    }
    return put_in_place(stand_in, tcp_fd);
}

// A socket that was made before anyone knew what the server would bind gets its name now, and by
// that it is the server's: nobody else can give it another one.
Result<void> claim_and_place(int tcp_fd, uint16_t edge_port, InstanceLabel& label,
                             const PreparedSocket& socket, SiteDirectory* directory) {
    const bool was_bound = socket.state && socket.state->claimant != 0;
    const bool gets_name = socket.is_hidden && !was_bound;
    if (was_bound) label.index = socket.state->label.index;
    InstanceLabel::Text text;
    SiteSocketName::Text name_text;
    if (gets_name) {
        label.index = directory->free_index(edge_port, label);
        const SiteSocketName name{edge_port, label.format(text)};
        const auto named = or_again(directory->place(socket.file_name.text.data(), name, false));
        if (!named) return named;
        name.format(name_text);
    }
    const auto prepared = prepare(socket.fd(), tcp_fd, label);
    if (!prepared && gets_name) {
        const int number = directory->fd().number();
        (void)!renameat(number, name_text.data(), number, socket.file_name.text.data());
    }
    if (!prepared) return prepared;
    trace("fd %d: took the prepared socket %s", tcp_fd, socket.file_name.text.data());
    return put_in_place(socket.fd(), tcp_fd);
}

Result<void> place_with(PreparedSockets& prepared, Result<SiteDirectory>& directory, int tcp_fd,
                        uint16_t edge_port, InstanceLabel& label) {
    const GuestConfig& config = guest_config();
    const bool reuses_port = int_option(tcp_fd, SOL_SOCKET, SO_REUSEPORT) == 1;
    PreparedSocket* socket = nullptr;
    const PreparedChoice choice =
        prepared.choose(edge_port, label, reuses_port, directory ? &*directory : nullptr, socket);
    if (choice == PreparedChoice::Share) return put_in_place(socket->fd(), tcp_fd);
    if (choice == PreparedChoice::Taken) return Unexpected{Errno{EADDRINUSE}};
    // A prepared socket that has its name needs nothing of the directory.
    if (choice == PreparedChoice::Claim && !socket->is_hidden)
        return claim_and_place(tcp_fd, edge_port, label, *socket, nullptr);
    if (!directory) return Unexpected{directory.error()};

    const Conflict conflict = directory->clear_and_find_conflict(edge_port, label, prepared);
    const bool is_taken = conflict != Conflict::None && !reuses_port;
    // No server takes over from itself: where TCP refuses its second bind, so do we.
    if (is_taken && (!config.takes_over || conflict == Conflict::Own))
        return Unexpected{Errno{EADDRINUSE}};
    if (choice == PreparedChoice::Claim) {
        const auto claimed = claim_and_place(tcp_fd, edge_port, label, *socket, &*directory);
        if (claimed && is_taken) directory->retire_conflicts(edge_port, label);
        return claimed;
    }
    // Whoever takes over takes the first name, which replaces its holder's file in one step.
    label.index = is_taken ? 0 : directory->free_index(edge_port, label);
    const auto made = make_and_place(tcp_fd, edge_port, label, *directory, is_taken);
    if (made && is_taken) directory->retire_conflicts(edge_port, label);
    return made;
}

Result<void> take_place(int tcp_fd, uint16_t edge_port, InstanceLabel& label) {
    auto directory = SiteDirectory::open_locked(guest_config().site_prefix_bytes.data());
    for (int attempt = 0; attempt < AttemptsMax; attempt++) {
        PreparedSockets prepared(edge_port, label);
        const auto placed = place_with(prepared, directory, tcp_fd, edge_port, label);
        if (placed) return placed;
        if (placed.error() == Again) continue;
        prepared.tell_keeper_of_failure(errno_for_program(placed.error()));
        return placed;
    }
    return Unexpected{Errno{EADDRINUSE}};
}

}  // namespace

std::optional<int> bind_listener(int fd, const sockaddr* address, socklen_t length) {
    if (!guest_config().is_active) return std::nullopt;
    // bind(2) refuses these: EINVAL, EFAULT.
    if (length == 0 || length > sizeof(sockaddr_storage) || !is_readable(address, length))
        return std::nullopt;
    const SocketAddress wanted = address_to_bind(address, length);
    const auto edge_port = guest_config().edge_port_of(wanted.port());
    if (wanted.has_address() && !edge_port)
        trace(
            "fd %d: bind to port %u is left alone: it is none of those that the server's clients "
            "come for (PROXYD_PORTS)",
            fd, wanted.port());
    const int saved_errno = errno;
    const bool is_ours =
        wanted.has_address() && edge_port && is_fresh_tcp_socket(fd, wanted.family());
    errno = saved_errno;
    if (!is_ours) return std::nullopt;

    InstanceLabel label{.address = wanted, .is_ipv6_only = meets_ipv6_only(fd, wanted)};
    const SignalDrivenIo signal_driven_io = SignalDrivenIo::of(fd);
    const auto outcome = take_place(fd, *edge_port, label);

    SocketAddress::Text text{};
    wanted.format(text);
    if (!outcome) {
        errno = errno_for_program(outcome.error());
        trace("fd %d: bind to %s failed: errno %d of %s (given to the program: %d)", fd,
              text.data(), outcome.error().number, guest_config().site_prefix_bytes.data(), errno);
        return -1;
    }
    signal_driven_io.restore(fd);
    errno = saved_errno;
    trace("fd %d: bind to %s became index %u for port %u in %s", fd, text.data(), label.index,
          *edge_port, guest_config().site_prefix_bytes.data());
    return 0;
}

}  // namespace proxyd
