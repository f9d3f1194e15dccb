// SPDX-License-Identifier: MIT
#include "proxyd/listener.h"

#include "base/daemon/log.h"

#include <errno.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>

namespace proxyd {
namespace {

constexpr int Backlog = 4096;  // the kernel cuts it at net.core.somaxconn
constexpr int AcceptsPerWakeup = 16;
constexpr auto PauseTime = std::chrono::milliseconds(100);

bool set_option(BorrowedFd socket, int level, int option, int value) {
    return setsockopt(socket.number(), level, option, &value, sizeof(value)) == 0;
}

Result<UniqueFd> bind_listening_socket(const SocketAddress& address, bool defers_accept) {
    UniqueFd socket = UniqueFd::adopt(
        ::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
    if (!socket.is_open()) return Unexpected{Errno::last()};
    // Each family has its own socket, so that no IPv4 client ever appears as an IPv6 one.
    if (!set_option(socket, SOL_SOCKET, SO_REUSEADDR, 1) ||
        (address.family() == AF_INET6 && !set_option(socket, IPPROTO_IPV6, IPV6_V6ONLY, 1)) ||
        bind(socket.borrow().number(), address.kernel_address(), address.kernel_length()) != 0)
        return Unexpected{Errno::last()};
    // The hello is there when the client is accepted; a silent one comes a second later.
    if (defers_accept) set_option(socket, IPPROTO_TCP, TCP_DEFER_ACCEPT, 1);
    return socket;
}

std::string refused(std::string_view place, const SocketAddress& address, Errno why) {
    SocketAddress::Text text;
    return fmt::format("{}: cannot listen on {}: {}{}", place, address.format(text),
                       errno_text(why.number),
                       why.number == EACCES ? " (low ports need root, or the sysctl "
                                              "net.ipv4.ip_unprivileged_port_start)"
                                            : "");
}

// A machine without IPv6 still serves ":443".
bool may_be_missing(const ListenerConfiguration& listener, const SocketAddress& address,
                    Errno why) {
    return listener.addresses.size() > 1 && address.family() == AF_INET6 &&
           (why.number == EAFNOSUPPORT || why.number == EADDRNOTAVAIL);
}

}  // namespace

std::vector<ListeningSocket> bind_listening_sockets(const Configuration& configuration,
                                                    std::vector<std::string>& problems) {
    std::vector<ListeningSocket> sockets;
    // The kernel would hold such clients back.
    const bool serves_silent = std::ranges::any_of(
        configuration.routes, [](const auto& route) { return route.key == "@silent"; });
    for (const ListenerConfiguration& listener : configuration.listeners) {
        for (const SocketAddress& address : listener.addresses) {
            Result<UniqueFd> socket =
                bind_listening_socket(address, listener.site.empty() && !serves_silent);
            if (!socket && may_be_missing(listener, address, socket.error())) {
                SocketAddress::Text text;
                log_notice("{}: not listening on {}: {}", listener.place, address.format(text),
                           errno_text(socket.error().number));
            } else if (!socket) {
                problems.push_back(refused(listener.place, address, socket.error()));
            } else {
                const auto local = SocketAddress::local_of(*socket);
                sockets.push_back({*std::move(socket), local ? *local : address, listener.site,
                                   listener.proxy_protocol, listener.place});
            }
        }
    }
    return sockets;
}

Result<void, std::string> start_listening(const std::vector<ListeningSocket>& sockets) {
    for (const ListeningSocket& socket : sockets)
        if (listen(socket.socket.borrow().number(), Backlog) != 0)
            return Unexpected{refused(socket.place, socket.address, Errno::last())};
    return {};
}

Listener::Listener(EventLoop& loop, ListeningSocket socket, Owner& owner)
    : socket_(std::move(socket.socket)),
      entrance_{socket.address, Route{"listener", std::move(socket.site), true},
                std::move(socket.proxy_protocol)},
      owner_(owner),
      readable_(loop, *this),
      pause_(loop, *this) {
    readable_.start(socket_);
}

void Listener::stop() {
    for (int i = 0; i < Backlog && accept_one() == Accepted::One; i++) {
    }
    readable_.stop();
    pause_.stop();
    socket_.close();
}

void Listener::on_readable() noexcept {
    for (int i = 0; i < AcceptsPerWakeup; i++) {
        const Accepted outcome = accept_one();
        if (outcome == Accepted::None) has_told_of_pause_ = false;
        if (outcome != Accepted::One) return;
    }
}

Listener::Accepted Listener::accept_one() {
    if (!owner_.make_room()) {
        pause("no more descriptors are allowed (RLIMIT_NOFILE)");
        return Accepted::NoRoom;
    }
    sockaddr_storage storage;
    socklen_t length = sizeof(storage);
    auto* generic = reinterpret_cast<sockaddr*>(&storage);
    UniqueFd client =
        UniqueFd::adopt(accept4(socket_.borrow().number(), generic, &length, SOCK_CLOEXEC));
    if (client.is_open()) {
        owner_.on_accepted(std::move(client), SocketAddress::from_kernel(generic, length),
                           entrance_);
        return Accepted::One;
    }
    switch (errno) {
        case EAGAIN:
            return Accepted::None;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            pause(errno_text(errno));
            return Accepted::NoRoom;
        default:
            return Accepted::One;  // this client has gone; the next may be there (accept(2))
    }
}

// Clients stay in the backlog meanwhile: nothing spins, nobody is lost.
void Listener::pause(std::string_view why) {
    if (!has_told_of_pause_) {
        SocketAddress::Text text;
        log_warning("accepting pauses at {}: {}", entrance_.address.format(text), why);
        has_told_of_pause_ = true;
    }
    readable_.stop();
    pause_.start(PauseTime);
}

void Listener::on_pause_over() noexcept {
    readable_.start(socket_);
    on_readable();
}

}  // namespace proxyd
