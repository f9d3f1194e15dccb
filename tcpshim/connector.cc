// SPDX-License-Identifier: MIT
#include "tcpshim/connector.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace proxyd::shim {
namespace {

ConnectFailure failure_of(int reason) {
    switch (reason) {
        case ECONNREFUSED:
        case ECONNRESET:
            return ConnectFailure::Refused;
        case ETIMEDOUT:
            return ConnectFailure::TimedOut;
        case EMFILE:
        case ENFILE:
        case EADDRNOTAVAIL:
        case ENOBUFS:
        case ENOMEM:
            return ConnectFailure::Local;
        default:
            return ConnectFailure::Unreachable;
    }
}

}  // namespace

std::string_view connect_failure_word(ConnectFailure failure) {
    switch (failure) {
        case ConnectFailure::Refused:
            return "refused";
        case ConnectFailure::Unreachable:
            return "unreachable";
        case ConnectFailure::TimedOut:
            return "timed_out";
        case ConnectFailure::NotResolved:
            return "not_resolved";
        case ConnectFailure::ClosedEarly:
            return "closed_early";
        case ConnectFailure::Full:
            return "full";
        case ConnectFailure::NoneUp:
            return "none_up";
        case ConnectFailure::Local:
            return "local";
    }
    return "";
}

Connector::Connector(EventLoop& loop, BackendGroup& group, const ClientDescription& client,
                     Owner& owner, const SocketAddress*)
    : group_(group),
      client_(client),
      owner_(owner),
      writable_(loop, *this),
      timeout_(loop, *this) {}

void Connector::start() {
    try_next();
}

void Connector::next(ConnectFailure why) {
    fail(why);
}

void Connector::try_next() {
    if (attempts_ == group_.size()) return owner_.on_no_backend(last_failure_);
    attempts_++;
    Backend& backend = group_.next();
    const BackendConfiguration& where = backend.configuration();
    const auto address =
        SocketAddress::parse_host(where.host, where.port != 0 ? where.port : client_.edge_port);
    if (!address) return fail(ConnectFailure::NotResolved);
    address_ = *address;
    lease_ = BackendLease(backend);
    socket_ =
        UniqueFd::adopt(socket(address_.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket_.is_open()) return fail(ConnectFailure::Local);
    const int yes = 1;
    setsockopt(socket_.borrow().number(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    if (connect(socket_.borrow().number(), address_.kernel_address(), address_.kernel_length()) !=
            0 &&
        errno != EINPROGRESS)
        return fail(failure_of(errno));
    writable_.start(socket_);
    timeout_.start(group_.site().connect_timeout);
}

void Connector::on_writable() noexcept {
    int reason = 0;
    socklen_t size = sizeof(reason);
    getsockopt(socket_.borrow().number(), SOL_SOCKET, SO_ERROR, &reason, &size);
    if (reason != 0) return fail(failure_of(reason));
    writable_.stop();
    timeout_.stop();
    owner_.on_connected(std::move(socket_), std::move(lease_), address_);
}

void Connector::on_timeout() noexcept {
    fail(ConnectFailure::TimedOut);
}

void Connector::fail(ConnectFailure why) {
    writable_.stop();
    timeout_.stop();
    socket_.close();
    last_failure_ = why;
    try_next();
}

}  // namespace proxyd::shim
