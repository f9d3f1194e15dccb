// SPDX-License-Identifier: MIT
//
// The first socket of an address is bound without SO_REUSEPORT, which fails if anybody has the
// address, a second proxyd of the same user included; with it from the beginning, that one would
// get a share of the clients instead. The flag is set then, and the others are bound with it.
//
// SO_REUSEADDR, which alone gets an address that has connections in TIME_WAIT, lets two proxyds
// that start at once bind it, too, as long as neither listens (measured: both served then). So the
// first socket is bound without it; where that fails, it is bound with it and listens at once,
// before SO_REUSEPORT is set: listen(2) looks for others again, and refuses all but the first.
//
// The wildcard beside one of its addresses, or in its place at a reload, would be refused for our
// own sake. Where we have the port already at another address, it is bound with SO_REUSEPORT.
#include "proxyd/listening_sockets.h"

#include "base/daemon/log.h"

#include <errno.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <initializer_list>

namespace proxyd {
namespace {

constexpr int Backlog = 4096;  // the kernel cuts it at net.core.somaxconn

bool set_option(BorrowedFd socket, int level, int option, int value) {
    return setsockopt(socket.number(), level, option, &value, sizeof(value)) == 0;
}

// With these options, of those of SOL_SOCKET.
Result<UniqueFd> bind_socket(const SocketAddress& address, std::initializer_list<int> options) {
    UniqueFd socket = UniqueFd::adopt(
        ::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
    if (!socket.is_open()) return Unexpected{Errno::last()};
    for (const int option : options)
        if (!set_option(socket, SOL_SOCKET, option, 1)) return Unexpected{Errno::last()};
    // Each family has its own socket, so that no IPv4 client ever appears as an IPv6 one.
    if ((address.family() == AF_INET6 && !set_option(socket, IPPROTO_IPV6, IPV6_V6ONLY, 1)) ||
        bind(socket.borrow().number(), address.kernel_address(), address.kernel_length()) != 0)
        return Unexpected{Errno::last()};
    return socket;
}

Result<UniqueFd> bind_first_socket(const SocketAddress& address) {
    Result<UniqueFd> socket = bind_socket(address, {});
    if (!socket && socket.error().number == EADDRINUSE) {
        socket = bind_socket(address, {SO_REUSEADDR});
        if (socket && listen(socket->borrow().number(), Backlog) != 0)
            return Unexpected{Errno::last()};
    }
    if (socket && !set_option(*socket, SOL_SOCKET, SO_REUSEPORT, 1))
        return Unexpected{Errno::last()};
    return socket;
}

Result<UniqueFd> bind_another_socket(const SocketAddress& address) {
    return bind_socket(address, {SO_REUSEADDR, SO_REUSEPORT});
}

bool overlaps_one_of(const ListeningAddresses& ours, const SocketAddress& address) {
    return std::ranges::any_of(ours, [&](const ListeningAddress& listening) {
        const SocketAddress& other = listening.address;
        return !listening.sockets.empty() && other.family() == address.family() &&
               other.port() == address.port() && other.is_wildcard() != address.is_wildcard();
    });
}

Result<void> bind_missing(ListeningAddress& listening, size_t count, bool is_beside_ours) {
    while (!listening.is_passed && listening.sockets.size() < count) {
        const bool is_first = listening.sockets.empty();
        const SocketAddress& address = is_first ? listening.requested : listening.address;
        Result<UniqueFd> socket =
            is_first && !is_beside_ours ? bind_first_socket(address) : bind_another_socket(address);
        if (!socket) return Unexpected{socket.error()};
        if (is_first) {
            const auto local = SocketAddress::local_of(*socket);
            listening.address = local ? *local : listening.requested;
        }
        listening.sockets.push_back(std::make_shared<const UniqueFd>(*std::move(socket)));
        listening.is_listening = false;
    }
    return {};
}

std::string refused(std::string_view place, const SocketAddress& address, Errno why) {
    SocketAddress::Text text;
    return fmt::format("{}: cannot listen on {}: {}{}", place, address.format(text),
                       errno_text(why.number),
                       why.number == EACCES       ? " (low ports need root, or the sysctl "
                                                    "net.ipv4.ip_unprivileged_port_start)"
                       : why.number == EADDRINUSE ? " (ss -ltnp tells by whom)"
                                                  : "");
}

// A machine without IPv6 still serves ":443".
bool may_be_missing(const ListenerConfiguration& listener, const SocketAddress& address,
                    Errno why) {
    return listener.addresses.size() > 1 && address.family() == AF_INET6 &&
           (why.number == EAFNOSUPPORT || why.number == EADDRNOTAVAIL);
}

ListeningAddress take_kept(ListeningAddresses& kept, const SocketAddress& address,
                           size_t listener) {
    ListeningAddress listening;
    const auto found = std::ranges::find(kept, address, &ListeningAddress::requested);
    if (found != kept.end()) {
        listening = std::move(*found);
        kept.erase(found);
    }
    listening.requested = address;
    listening.listener = listener;
    return listening;
}

}  // namespace

ListeningAddresses bind_listening_sockets(const Configuration& configuration,
                                          ListeningAddresses kept,
                                          std::vector<std::string>& problems) {
    ListeningAddresses all;
    for (size_t i = 0; i < configuration.listeners.size(); i++) {
        const ListenerConfiguration& listener = configuration.listeners[i];
        for (const SocketAddress& address : listener.addresses) {
            ListeningAddress listening = take_kept(kept, address, i);
            const Result<void> bound =
                bind_missing(listening, configuration.workers,
                             overlaps_one_of(kept, address) || overlaps_one_of(all, address));
            if (bound) {
                all.push_back(std::move(listening));
            } else if (may_be_missing(listener, address, bound.error())) {
                SocketAddress::Text text;
                log_notice("{}: not listening on {}: {}", listener.place, address.format(text),
                           errno_text(bound.error().number));
            } else {
                problems.push_back(refused(listener.place, address, bound.error()));
            }
        }
    }
    return all;
}

Result<void, std::string> start_listening(const Configuration& configuration,
                                          ListeningAddresses& addresses) {
    // The kernel would hold clients back that wait for the server to speak.
    const bool serves_silent = std::ranges::any_of(
        configuration.routes, [](const auto& route) { return route.key == "@silent"; });
    for (ListeningAddress& listening : addresses) {
        const ListenerConfiguration& listener = configuration.listeners[listening.listener];
        for (const SharedSocket& socket : listening.sockets) {
            // The hello is there when the client is accepted; a silent one comes a second later.
            set_option(*socket, IPPROTO_TCP, TCP_DEFER_ACCEPT,
                       listener.site.empty() && !serves_silent ? 1 : 0);
            // Again, for one that listens already: a worker that ran wild may have ended that.
            if (listen(socket->borrow().number(), Backlog) != 0)
                return Unexpected{refused(listener.place, listening.address, Errno::last())};
            // Connections have it from here, and those in TIME_WAIT mustn't keep a successor out.
            set_option(*socket, SOL_SOCKET, SO_REUSEADDR, 1);
        }
        listening.is_listening = true;
    }
    return {};
}

}  // namespace proxyd
