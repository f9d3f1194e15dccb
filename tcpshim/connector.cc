// SPDX-License-Identifier: MIT
#include "tcpshim/connector.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace proxyd::shim {

Connector::Connector(EventLoop& loop, BackendGroup& group, const ClientDescription& client,
                     Owner& owner, const SocketAddress* bind_source, Opening* opening)
    : loop_(loop),
      group_(group),
      client_(client),
      owner_(owner),
      bind_source_(bind_source),
      opening_(opening),
      wait_left_(group.site().backend_wait),
      wait_over_(loop, *this) {}

void Connector::start() {
    run_clock();
    try_next();
}

void Connector::next(ConnectFailure why) {
    assert(!tried_.empty() && !connect_);
    if (Backend* backend = group_.find(tried_.back())) backend->note_failed(why, began_);
    note_failure(why);
    run_clock();
    try_next();
}

bool Connector::may_find_another() const {
    return group_.has_another(tried_) || group_.is_waiting_for_service();
}

void Connector::run_clock() {
    clock_started_ = Clock::now();
}

// Nobody needs a timer who is served at once.
void Connector::limit_wait() {
    if (!wait_over_.is_active()) wait_over_.start(wait_left_ - (Clock::now() - clock_started_));
}

void Connector::stop_clock() {
    wait_over_.stop();
    wait_left_ -= std::min(wait_left_, Clock::now() - clock_started_);
}

void Connector::try_next() {
    auto lease = group_.choose(client_.source, tried_);
    if (!lease) {
        // Others may have room soon, or the DNS may know of more.
        if (lease.error() == ConnectFailure::Full || group_.is_waiting_for_service()) {
            if (!last_failure_ || lease.error() == ConnectFailure::Full)
                last_failure_ = lease.error() == ConnectFailure::Full ? ConnectFailure::Full
                                                                      : ConnectFailure::NotResolved;
            limit_wait();
            return group_.wait(*this);
        }
        return give_up(last_failure_.value_or(lease.error()));
    }
    lease_ = *std::move(lease);
    began_ = lease_.began();
    tried_.push_back(lease_.backend().number());
    connect_.emplace(loop_, group_.poll(),
                     BackendConnect::Target{.address = lease_.backend().address(),
                                            .port_of_client = client_.edge_port,
                                            .bind_source = bind_source_,
                                            .opening = opening_,
                                            .timeout = group_.site().connect_timeout},
                     static_cast<BackendConnect::Owner&>(*this));
    if (connect_->start()) limit_wait();  // else this may be gone
}

void Connector::on_backend_change() noexcept {
    try_next();
}

void Connector::on_backend_connected(UniqueFd socket, const SocketAddress& address) noexcept {
    stop_clock();
    const SocketAddress connected = address;  // it lies in what goes now
    lease_.note_connected();
    connect_.reset();
    owner_.on_connected(std::move(socket), std::move(lease_), connected);
}

void Connector::on_backend_failed(ConnectFailure failure) noexcept {
    lease_.note_failed(failure);
    note_failure(failure);
    connect_.reset();
    lease_.release();
    try_next();
}

void Connector::on_wait_over() noexcept {
    ConnectFailure failure = last_failure_.value_or(ConnectFailure::TimedOut);
    if (connect_) {
        failure = ConnectFailure::TimedOut;
        note_failure(failure);
        // One that came late had too little time to be blamed.
        const bool had_time = Clock::now() - began_ >= group_.site().connect_timeout / 2;
        if (had_time || attempts() == 1) lease_.note_failed(failure);
    }
    connect_.reset();
    lease_.release();
    group_.stop_waiting(*this);
    give_up(failure);
}

std::string_view Connector::last_tried() const {
    const Backend* const backend = tried_.empty() ? nullptr : group_.find(tried_.back());
    return backend != nullptr ? std::string_view(backend->text()) : std::string_view();
}

void Connector::note_failure(ConnectFailure failure) {
    last_failure_ = failure;
    if (!failed_.empty()) failed_ += ',';
    failed_.append(last_tried()).append("/").append(connect_failure_word(failure));
}

void Connector::give_up(ConnectFailure failure) {
    stop_clock();
    owner_.on_no_backend(failure);
}

}  // namespace proxyd::shim
