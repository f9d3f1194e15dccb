// SPDX-License-Identifier: MIT
#include "tcpshim/backend.h"

#include "base/daemon/log.h"
#include "tcpshim/balancer.h"

#include <utility>

namespace proxyd::shim {
namespace {

// Whether the port is one of several that the client has chosen: a host that refuses there is up,
// and may well serve another one.
bool is_port_the_client_s(const BackendAddress& address, const SiteConfiguration& site) {
    return !address.is_unix() && address.port() == 0 && site.ports.size() > 1;
}

// Whether a client can't have caused it by what it sends, or by where it comes from: of a site that
// is transparent, backends can't answer every client through this machine.
bool is_backend_to_blame(ConnectFailure failure, const BackendAddress& address,
                         const SiteConfiguration& site) {
    if (failure == ConnectFailure::Refused) return !is_port_the_client_s(address, site);
    return !site.is_transparent &&
           (failure == ConnectFailure::Unreachable || failure == ConnectFailure::TimedOut ||
            failure == ConnectFailure::NotResolved);
}

uint64_t next_number() {
    static uint64_t last = 0;
    return ++last;
}

}  // namespace

std::string_view backend_state_word(BackendState state) {
    switch (state) {
        case BackendState::Up:
            return "up";
        case BackendState::OnTrial:
            return "on_trial";
        case BackendState::Paused:
            return "paused";
        case BackendState::Down:
            return "down";
    }
    return "-";
}

Backend::Backend(EventLoop& loop, ConnectPoll& poll, const SiteConfiguration& site,
                 Description description, BackendAddress address, Owner& owner)
    : site_(site),
      owner_(owner),
      number_(next_number()),
      description_(std::move(description)),
      address_(std::move(address)),
      identity_(identity_of(description_.text)),
      health_({.failures_max = site.failures_max,
               .pause = site.failure_pause,
               .pause_max = site.failure_pause_max}) {
    if (site.check.kind == CheckKind::None) return;
    check_ = std::make_unique<ActiveCheck>(
        loop, poll, site.check, site.proxy_protocol, description_.host, address_,
        site.ports.empty() ? 0 : site.ports.front(), static_cast<ActiveCheck::Owner&>(*this));
    check_->start();
}

void Backend::set_share(uint32_t weight, uint32_t tier) {
    description_.weight = weight;
    description_.tier = tier;
}

BackendState Backend::state(Clock::time_point now) const {
    if (check_ != nullptr && check_->count().state() == RiseAndFall::State::Down)
        return BackendState::Down;
    if (health_.is_paused(now)) return BackendState::Paused;
    return health_.is_on_trial() ? BackendState::OnTrial : BackendState::Up;
}

bool Backend::is_full() const {
    return description_.connections_max != 0 &&
           connections_ + elsewhere_.read() >= description_.connections_max;
}

std::string_view Backend::last_check() const {
    return check_ != nullptr ? std::string_view(check_->last_text()) : std::string_view();
}

void Backend::note_chosen() {
    counters_.chosen++;
    health_.note_chosen(Clock::now());
}

void Backend::note_connected() {
    if (!health_.note_connected()) return;
    log_notice("site {}: backend {} can be connected again", site_.name, text());
    owner_.on_backend_change();
}

void Backend::note_failed(ConnectFailure failure, Clock::time_point began) {
    counters_.failed[static_cast<size_t>(failure)]++;
    if (!is_backend_to_blame(failure, address_, site_)) return;
    const Clock::time_point now = Clock::now();
    const bool was_good = !health_.is_on_trial();
    if (!health_.note_failed(began, now)) return;
    if (check_ != nullptr) check_->count().forget_good();
    const auto pause =
        std::chrono::duration_cast<std::chrono::milliseconds>(health_.pause_until() - now);
    // Once for each time that it stops answering; how it goes on is for those who look closer.
    log_at(was_good ? LogLevel::Warning : LogLevel::Info,
           "site {}: backend {} has failed {} times in a row, last: {}; left out for {} ms",
           site_.name, text(), health_.failures(), connect_failure_word(failure), pause.count());
    owner_.on_backend_change();
}

void Backend::remove_connection() {
    const bool was_full = is_full();
    connections_--;
    if (was_full || connections_ == 0) owner_.on_backend_change();
}

void Backend::on_checked(const CheckVerdict& verdict, bool has_changed) noexcept {
    (verdict.is_good ? counters_.checks_good : counters_.checks_bad)++;
    const bool is_up = check_->count().state() == RiseAndFall::State::Up;
    const bool ends_pause = is_up && check_->count().has_risen() && health_.is_on_trial();
    if (ends_pause) health_.end_pause();
    if (ends_pause || has_changed) owner_.on_backend_change();
    if (!has_changed) return;
    if (is_up)
        log_notice("site {}: backend {} is up: {}", site_.name, text(), verdict.text);
    else
        log_warning("site {}: backend {} is down: {}", site_.name, text(), verdict.text);
}

BackendLease& BackendLease::operator=(BackendLease&& other) noexcept {
    if (this == &other) return *this;
    release();
    backend_ = std::exchange(other.backend_, nullptr);
    began_ = other.began_;
    return *this;
}

void BackendLease::release() {
    if (backend_ != nullptr) std::exchange(backend_, nullptr)->remove_connection();
}

}  // namespace proxyd::shim
