// SPDX-License-Identifier: MIT
#include "tcpshim/check_probe.h"

#include "base/daemon/log.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <utility>

namespace proxyd::shim {
namespace {

std::string_view failure_text(ConnectFailure failure) {
    switch (failure) {
        case ConnectFailure::Refused:
            return "connection refused";
        case ConnectFailure::TimedOut:
            return "no connection in time";
        case ConnectFailure::NotResolved:
            return "no address";
        case ConnectFailure::Local:
            return "no socket here";
        default:
            return "unreachable";
    }
}

}  // namespace

CheckProbe::CheckProbe(EventLoop& loop, ConnectPoll& poll, const CheckConfiguration& check,
                       const std::string& request, const BackendConnect::Target& target,
                       Owner& owner)
    : poll_(poll),
      check_(check),
      request_(request),
      owner_(owner),
      connect_(loop, poll, target, *this),
      timeout_(loop, *this) {}

void CheckProbe::start() {
    timeout_.start(check_.timeout);
    connect_.start();
}

void CheckProbe::on_backend_failed(ConnectFailure failure) noexcept {
    finish({false, std::string(failure_text(failure))});
}

void CheckProbe::on_backend_connected(UniqueFd socket, const SocketAddress&) noexcept {
    if (const auto verdict = judge_check_reply(check_, {}, false)) return finish(*verdict);
    const int fd = socket.borrow().number();
    // Fits into any empty send buffer.
    const ssize_t sent = send(fd, request_.data(), request_.size(), MSG_NOSIGNAL);
    if (sent != static_cast<ssize_t>(request_.size()))
        return finish({false, sent < 0 ? std::string(errno_text(errno)) : "not sent"});
    if (!poll_.add(socket, EPOLLIN, *this)) return finish({false, "no socket here"});
    socket_ = std::move(socket);
}

void CheckProbe::on_socket_ready() noexcept {
    const ssize_t count = recv(socket_.borrow().number(), reply_.data() + reply_bytes_,
                               reply_.size() - reply_bytes_, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count > 0) reply_bytes_ += static_cast<size_t>(count);
    const bool is_end = count <= 0 || reply_bytes_ == reply_.size();
    const auto verdict = judge_check_reply(check_, Bytes(reply_).first(reply_bytes_), is_end);
    if (verdict) finish(*verdict);
}

void CheckProbe::on_timeout() noexcept {
    finish({false, socket_.is_open() ? "no answer in time" : "no connection in time"});
}

void CheckProbe::finish(const CheckVerdict& verdict) {
    timeout_.stop();
    close();
    owner_.on_check_verdict(verdict);
}

void CheckProbe::close() {
    if (socket_.is_open()) poll_.remove(socket_, *this);
    socket_.close();
}

}  // namespace proxyd::shim
