// SPDX-License-Identifier: MIT
#include "tcpshim/backend_connect.h"

#include <utility>

namespace proxyd::shim {

SocketAddress BackendAddress::preferred() const {
    return Clock::now() < preferred_until_ ? preferred_ : SocketAddress();
}

void BackendAddress::note_winner(const SocketAddress& address, bool was_expected) {
    if (was_expected) {
        preferred_until_ = {};
        return;
    }
    const SocketAddress winner =
        address.family() == AF_INET
            ? SocketAddress::from_ipv4(address.ipv4(), 0)
            : SocketAddress::from_ipv6(address.ipv6(), 0, address.scope_id());
    // The time isn't renewed by its own victories: now and then the others get their chance.
    if (preferred() == winner) return;
    preferred_ = winner;
    preferred_until_ = Clock::now() + PreferenceTime;
}

BackendConnect::BackendConnect(EventLoop& loop, ConnectPoll& poll, const Target& target,
                               Owner& owner)
    : loop_(loop),
      poll_(poll),
      target_(target),
      owner_(owner),
      timeout_(loop, *this),
      backlog_delay_(loop, *this) {}

bool BackendConnect::start() {
    if (target_.address.is_unix() ? !try_unix() : !race()) return false;
    timeout_.start(target_.timeout);
    return true;
}

bool BackendConnect::race() {
    const uint16_t port =
        target_.address.port() != 0 ? target_.address.port() : target_.port_of_client;
    race_.emplace(loop_, poll_, target_.address.host(), port, target_.address.preferred(),
                  target_.bind_source, target_.opening, static_cast<AddressRace::Owner&>(*this));
    return race_->start();
}

bool BackendConnect::try_unix() {
    unix_attempt_.emplace(poll_, static_cast<ConnectAttempt::Owner&>(*this));
    return unix_attempt_->start_unix(target_.address.unix_path()) ==
               ConnectAttempt::State::Connecting ||
           !finish_unix(*unix_attempt_);
}

void BackendConnect::on_attempt_done(ConnectAttempt& attempt) noexcept {
    finish_unix(attempt);
}

bool BackendConnect::finish_unix(ConnectAttempt& attempt) {
    if (attempt.state() == ConnectAttempt::State::Failed && attempt.error() == Errno{EAGAIN}) {
        backlog_delay_.start(BacklogDelay);
        return false;
    }
    timeout_.stop();
    if (attempt.state() == ConnectAttempt::State::Connected)
        owner_.on_backend_connected(attempt.take_socket(), SocketAddress());
    else
        owner_.on_backend_failed(connect_failure_of(attempt.error()));
    return true;
}

void BackendConnect::on_backlog_delay() noexcept {
    try_unix();
}

void BackendConnect::on_race_won(UniqueFd socket, const SocketAddress& address,
                                 bool was_expected) noexcept {
    timeout_.stop();
    target_.address.note_winner(address, was_expected);
    owner_.on_backend_connected(std::move(socket), address);
}

void BackendConnect::on_race_lost(ConnectFailure failure) noexcept {
    timeout_.stop();
    owner_.on_backend_failed(failure);
}

void BackendConnect::on_timeout() noexcept {
    const bool has_tried = !race_ || race_->has_tried();
    race_.reset();
    unix_attempt_.reset();
    backlog_delay_.stop();
    owner_.on_backend_failed(has_tried ? ConnectFailure::TimedOut : ConnectFailure::NotResolved);
}

}  // namespace proxyd::shim
