// SPDX-License-Identifier: MIT
#include "tcpshim/address_race.h"

#include <algorithm>

namespace proxyd::shim {
namespace {

SocketAddress with_port(const SocketAddress& address, uint16_t port) {
    if (address.family() == AF_INET) return SocketAddress::from_ipv4(address.ipv4(), port);
    return SocketAddress::from_ipv6(address.ipv6(), port, address.scope_id());
}

}  // namespace

std::vector<SocketAddress> racing_order(std::span<const SocketAddress> ipv6,
                                        std::span<const SocketAddress> ipv4,
                                        const SocketAddress& preferred) {
    std::vector<SocketAddress> order;
    for (size_t i = 0; i < std::max(ipv6.size(), ipv4.size()); i++) {
        if (i < ipv6.size()) order.push_back(ipv6[i]);
        if (i < ipv4.size()) order.push_back(ipv4[i]);
    }
    const auto found = std::ranges::find(order, preferred);
    if (found != order.end()) std::rotate(order.begin(), found, found + 1);
    return order;
}

AddressRace::AddressRace(EventLoop& loop, ConnectPoll& poll, HostAddresses& host, uint16_t port,
                         const SocketAddress& preferred, const SocketAddress* bind_source,
                         Opening* opening, Owner& owner)
    : poll_(poll),
      host_(host),
      port_(port),
      preferred_(preferred),
      bind_source_(bind_source),
      opening_(opening),
      owner_(owner),
      resolution_delay_(loop, *this),
      attempt_delay_(loop, *this) {}

bool AddressRace::start() {
    host_.hurry();
    return try_next();
}

void AddressRace::on_addresses() noexcept {
    // The next attempt is due at its time, or is waited for right now.
    if (attempt_delay_.is_active())
        host_.wait(*this);
    else
        try_next();
}

void AddressRace::on_resolution_delay() noexcept {
    is_delay_over_ = true;
    try_next();
}

void AddressRace::on_attempt_delay() noexcept {
    try_next();
}

// Whether the addresses that are known are enough to begin with.
bool AddressRace::may_begin() {
    if (is_delay_over_ || host_.is_ipv6_settled() || !host_.ipv6().empty()) return true;
    if (!host_.ipv4().empty() && !resolution_delay_.is_active())
        resolution_delay_.start(ResolutionDelay);
    return false;
}

std::vector<SocketAddress> AddressRace::order() const {
    std::vector<SocketAddress> order = racing_order(host_.ipv6(), host_.ipv4(), preferred_);
    if (bind_source_ != nullptr)
        std::erase_if(order, [&](const SocketAddress& address) {
            return address.family() != bind_source_->family();
        });
    return order;
}

bool AddressRace::is_trying() const {
    return std::ranges::any_of(attempts_, [](const auto& attempt) {
        return attempt->state() == ConnectAttempt::State::Connecting;
    });
}

// The oldest attempt has had its time, and makes room for an address that has had none.
void AddressRace::make_room() {
    const auto is_open = [](const auto& attempt) {
        return attempt->state() == ConnectAttempt::State::Connecting;
    };
    const size_t max = poll_.has_many() ? 1 : AttemptsMax;
    if (static_cast<size_t>(std::ranges::count_if(attempts_, is_open)) < max) return;
    attempts_.erase(std::ranges::find_if(attempts_, is_open));
    note_failure(ConnectFailure::TimedOut);
}

bool AddressRace::try_next() {
    attempt_delay_.stop();
    host_.stop_waiting(*this);
    if (may_begin()) {
        for (const SocketAddress& known : order()) {
            const SocketAddress address = with_port(known, port_);
            if (std::ranges::find(tried_, address) != tried_.end()) continue;
            tried_.push_back(address);
            make_room();
            is_delay_over_ = true;
            resolution_delay_.stop();
            attempts_.push_back(std::make_unique<ConnectAttempt>(
                poll_, static_cast<ConnectAttempt::Owner&>(*this)));
            ConnectAttempt& attempt = *attempts_.back();
            const ConnectAttempt::State state = attempt.start(address, bind_source_, opening_);
            if (state == ConnectAttempt::State::Connected) {
                win(attempt);
                return false;
            }
            if (state == ConnectAttempt::State::Connecting) {
                attempt_delay_.start(AttemptDelay);
                break;
            }
            note_failure(connect_failure_of(attempt.error()));
        }
    }
    const bool is_waiting = is_waiting_for_addresses();
    if (is_waiting) host_.wait(*this);
    if (is_waiting || is_trying()) return true;
    // A host that has no address of the client's family can't be reached from it.
    if (!has_failed_ && !host_.empty()) failure_ = ConnectFailure::Unreachable;
    owner_.on_race_lost(failure_);
    return false;
}

// Not for what is asked again because its time is over: it hardly differs, and a name server that
// is silent would keep the client from the next backend.
bool AddressRace::is_waiting_for_addresses() const {
    return host_.empty() ? host_.is_asking() : !host_.is_settled();
}

void AddressRace::note_failure(ConnectFailure failure) {
    failure_ = has_failed_ ? more_telling(failure_, failure) : failure;
    has_failed_ = true;
}

void AddressRace::on_attempt_done(ConnectAttempt& attempt) noexcept {
    if (attempt.state() == ConnectAttempt::State::Connected) return win(attempt);
    note_failure(connect_failure_of(attempt.error()));
    try_next();
}

bool AddressRace::would_be_first(const SocketAddress& address) const {
    const bool was_first = attempts_.size() == 1 && bind_source_ == nullptr;
    if (was_first && !preferred_.has_address()) return true;
    const std::vector<SocketAddress> plain =
        racing_order(host_.ipv6(), host_.ipv4(), SocketAddress());
    return !plain.empty() && with_port(plain.front(), port_) == address;
}

void AddressRace::win(ConnectAttempt& attempt) {
    const SocketAddress address = attempt.address();
    const bool was_expected = would_be_first(address);
    UniqueFd socket = attempt.take_socket();
    attempts_.clear();
    attempt_delay_.stop();
    resolution_delay_.stop();
    host_.stop_waiting(*this);
    owner_.on_race_won(std::move(socket), address, was_expected);
}

}  // namespace proxyd::shim
