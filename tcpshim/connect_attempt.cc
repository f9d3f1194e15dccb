// SPDX-License-Identifier: MIT
#include "tcpshim/connect_attempt.h"

#include "tcpshim/socket_options.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/un.h>

namespace proxyd::shim {
namespace {

// An address that is somebody else's, whose packets come back to this machine all the same.
bool bind_foreign(BorrowedFd socket, const SocketAddress& source) {
    const bool is_ipv4 = source.family() == AF_INET;
    if (is_ipv4 ? !set_option(socket, SOL_IP, IP_TRANSPARENT, 1)
                : !set_option(socket, SOL_IPV6, IPV6_TRANSPARENT, 1))
        return false;
    // The port is chosen with the destination known, so each destination has all of them.
    if (source.port() == 0 && !set_option(socket, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1)) return false;
    if (source.port() != 0 && !set_option(socket, SOL_SOCKET, SO_REUSEADDR, 1)) return false;
    return bind(socket.number(), source.kernel_address(), source.kernel_length()) == 0;
}

bool is_loopback(const SocketAddress& address) {
    if (address.family() == AF_INET) return ntohl(address.ipv4().s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&address.ipv6());
}

}  // namespace

bool ConnectAttempt::open(int family) {
    socket_ = UniqueFd::adopt(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    return socket_.is_open();
}

ConnectAttempt::State ConnectAttempt::start(const SocketAddress& address,
                                            const SocketAddress* bind_source, Opening* opening) {
    address_ = address;
    if (!open(address.family())) return fail(Errno::last());
    if (bind_source != nullptr && !bind_foreign(socket_, *bind_source)) {
        const Errno error = Errno::last();
        return fail(error.number == EPERM ? Errno{EADDRNOTAVAIL} : error);
    }
    // The handshake's last packet goes together with what is said first. (Off for longer, it would
    // hold up servers that answer in small pieces: they may wait for an acknowledgement.)
    if (opening != nullptr && !opening->bytes.empty())
        set_option(socket_, IPPROTO_TCP, TCP_QUICKACK, 0);
    if (begin(address.kernel_address(), address.kernel_length())) return state_;
    if (is_loopback(address) && has_connected(opening)) return state_ = State::Connected;
    return wait();
}

ConnectAttempt::State ConnectAttempt::start_unix(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) return fail(Errno{ENAMETOOLONG});
    memcpy(address.sun_path, path.data(), path.size());
    if (!open(AF_UNIX)) return fail(Errno::last());
    if (begin(reinterpret_cast<const sockaddr*>(&address), sizeof(address))) return state_;
    return wait();
}

bool ConnectAttempt::begin(const sockaddr* address, socklen_t length) {
    if (connect(socket_.borrow().number(), address, length) == 0)
        state_ = State::Connected;
    else if (errno != EINPROGRESS)
        fail(Errno::last());
    return state_ != State::Idle;
}

// Over loopback the whole handshake happens within connect(2), which doesn't tell. Asked again, it
// does; and so does a send(2) of what is to be sent anyway, which fails with EAGAIN otherwise
// (measured on Linux 6.1 and 6.18). That saves up to four calls and a wake-up.
bool ConnectAttempt::has_connected(Opening* opening) {
    const int fd = socket_.borrow().number();
    if (opening == nullptr || opening->bytes.empty())
        return connect(fd, address_.kernel_address(), address_.kernel_length()) == 0;
    const ssize_t sent =
        send(fd, opening->bytes.data(), opening->bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) return false;
    opening->sent = static_cast<size_t>(sent);
    return true;
}

// For what errno says is not decided yet.
ConnectAttempt::State ConnectAttempt::wait() {
    if (errno != EINPROGRESS && errno != EALREADY && errno != EAGAIN) return fail(Errno::last());
    if (!poll_.add(socket_, EPOLLOUT, *this)) return fail(Errno::last());
    return state_ = State::Connecting;
}

ConnectAttempt::State ConnectAttempt::fail(Errno error) {
    socket_.close();
    error_ = error;
    return state_ = State::Failed;
}

void ConnectAttempt::stop() {
    if (state_ == State::Connecting) poll_.remove(socket_, *this);
}

UniqueFd ConnectAttempt::take_socket() {
    return std::move(socket_);
}

void ConnectAttempt::on_socket_ready() noexcept {
    int error = 0;
    socklen_t length = sizeof(error);
    if (getsockopt(socket_.borrow().number(), SOL_SOCKET, SO_ERROR, &error, &length) != 0)
        error = errno;
    stop();
    if (error != 0)
        fail(Errno{error});
    else
        state_ = State::Connected;
    owner_.on_attempt_done(*this);
}

}  // namespace proxyd::shim
