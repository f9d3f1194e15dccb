// SPDX-License-Identifier: MIT
#include "tcpshim/backend_group.h"

#include "base/daemon/log.h"
#include "tcpshim/elsewhere.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

namespace proxyd::shim {
namespace {

// Above all ranks that the priorities of a service can have.
constexpr uint32_t BackupTier = 65536;
constexpr auto LookElsewhereInterval = std::chrono::milliseconds(100);

// How many priorities there are below this one.
uint32_t rank_of(const ServiceRecord& record, const std::vector<ServiceRecord>& all) {
    std::set<uint16_t> lower;
    for (const ServiceRecord& other : all)
        if (other.priority < record.priority) lower.insert(other.priority);
    return static_cast<uint32_t>(lower.size());
}

// The record's part of the service's weight, beside those of the same priority.
uint32_t share_of(const ServiceRecord& record, const std::vector<ServiceRecord>& all,
                  uint32_t service_weight) {
    const uint64_t whole = uint64_t{service_weight} * BackendGroup::WeightOne;
    uint64_t sum = 0, count = 0;
    for (const ServiceRecord& other : all) {
        if (other.priority != record.priority) continue;
        sum += other.weight;
        count++;
    }
    const uint64_t share = sum == 0 ? whole / count : whole * record.weight / sum;
    // RFC 2782: weight 0 beside others has "a very small chance".
    return static_cast<uint32_t>(std::max<uint64_t>(share, 1));
}

}  // namespace

BackendGroup::BackendGroup(EventLoop& loop, Resolver& resolver, ConnectPoll& poll,
                           const SiteConfiguration& site)
    : loop_(loop),
      resolver_(resolver),
      poll_(poll),
      site_(site),
      tidy_(loop, *this),
      pause_over_(loop, *this) {
    for (const BackendConfiguration& backend : site.backends)
        add_configured(backend);
    // Only now: an answer that comes at once looks for its service among all.
    for (size_t i = 0; i < services_.size(); i++)
        services_[i].question->start();
}

BackendGroup::~BackendGroup() = default;

void BackendGroup::add_configured(const BackendConfiguration& backend) {
    if (backend.kind == BackendKind::Service) {
        services_.push_back({.configuration = backend,
                             .question = std::make_unique<StandingQuestion>(
                                 loop_, resolver_.channel(), backend.host, DnsType::Service,
                                 static_cast<StandingQuestion::Owner&>(*this)),
                             .targets = {}});
        return;
    }
    const bool is_unix = backend.kind == BackendKind::UnixStream;
    BackendAddress address = is_unix ? BackendAddress(backend.host)
                                     : BackendAddress(resolver_.host(backend.host), backend.port);
    backends_.push_back(std::make_unique<Backend>(
        loop_, poll_, site_,
        Backend::Description{.text = backend.text,
                             .host = is_unix ? std::string("localhost") : backend.host,
                             .weight = backend.weight * WeightOne,
                             .tier = backend.is_backup ? BackupTier : 0,
                             .connections_max = backend.connections_max},
        std::move(address), static_cast<Backend::Owner&>(*this)));
}

Result<BackendLease, ConnectFailure> BackendGroup::choose(const SocketAddress& client,
                                                          std::span<const uint64_t> tried) {
    const Clock::time_point now = Clock::now();
    const bool has_full = collect(now, tried);
    if (!candidates_.empty()) {
        switch (site_.balance) {
            case Balance::RoundRobin:
                return take(*candidate_backends_[choose_in_turn(candidates_)]);
            case Balance::LeastConnections:
                return take(*candidate_backends_[choose_least_connections(candidates_)]);
            case Balance::SourceHash:
                return take(
                    *candidate_backends_[choose_by_source(candidates_, identity_of(client))]);
        }
    }
    if (has_full) return Unexpected{ConnectFailure::Full};
    if (backends_.empty()) return Unexpected{ConnectFailure::NotResolved};
    return Unexpected{ConnectFailure::NoneUp};
}

bool BackendGroup::has_another(std::span<const uint64_t> tried) {
    return collect(Clock::now(), tried) || !candidates_.empty();
}

// Those of the lowest tier that has one that is up. If none is up, those that only clients'
// failures have put out are better than none: the one whose pause ends first. Returns whether there
// would be one if it weren't full.
bool BackendGroup::collect(Clock::time_point now, std::span<const uint64_t> tried) {
    candidates_.clear();
    candidate_backends_.clear();
    uint32_t tier = std::numeric_limits<uint32_t>::max();
    bool has_full = false, has_paused_full = false;
    Backend* paused = nullptr;
    for (const auto& backend : backends_) {
        if (std::ranges::find(tried, backend->number()) != tried.end()) continue;
        const BackendState state = backend->state(now);
        if (state == BackendState::Down) continue;
        if (state == BackendState::Paused) {
            if (backend->is_full())
                has_paused_full = true;
            else if (paused == nullptr ||
                     backend->health().pause_until() < paused->health().pause_until())
                paused = backend.get();
            continue;
        }
        if (backend->tier() > tier) continue;
        if (backend->tier() < tier) {
            tier = backend->tier();
            has_full = false;
            candidates_.clear();
            candidate_backends_.clear();
        }
        if (backend->is_full()) {
            has_full = true;
            continue;
        }
        candidates_.push_back({.weight = backend->weight(),
                               .connections = backend->connections(),
                               .identity = backend->identity(),
                               .credit = &backend->credit()});
        candidate_backends_.push_back(backend.get());
    }
    if (!candidates_.empty() || has_full) return has_full;
    if (paused == nullptr) return has_paused_full;
    candidates_.push_back({.weight = 1, .identity = 0, .credit = &paused->credit()});
    candidate_backends_.push_back(paused);
    return false;
}

BackendLease BackendGroup::take(Backend& backend) {
    backend.note_chosen();
    return BackendLease(backend);
}

bool BackendGroup::is_waiting_for_service() {
    bool is_waiting = false;
    for (Service& service : services_) {
        if (service.question->records().empty()) service.question->hurry();
        is_waiting = is_waiting || (service.targets.empty() && service.question->is_asking());
    }
    return is_waiting;
}

void BackendGroup::count_also(const Elsewhere& elsewhere) {
    elsewhere_ = &elsewhere;
    for (const auto& backend : backends_)
        backend->count_also(elsewhere.connections_of_backend(site_.directory, backend->text()));
}

void BackendGroup::rest() {
    for (const auto& backend : backends_)
        backend->retire();
    for (const Service& service : services_)
        service.question->rest();
}

Backend* BackendGroup::find(uint64_t number) {
    for (const auto* list : {&backends_, &retired_})
        for (const auto& backend : *list)
            if (backend->number() == number) return backend.get();
    return nullptr;
}

std::unique_ptr<Backend> BackendGroup::make_target(const Service& service,
                                                   const ServiceRecord& record) {
    return std::make_unique<Backend>(
        loop_, poll_, site_,
        Backend::Description{.text = fmt::format("{}:{}", record.host, record.port),
                             .host = record.host,
                             .connections_max = service.configuration.connections_max},
        BackendAddress(resolver_.host(record.host), record.port),
        static_cast<Backend::Owner&>(*this));
}

void BackendGroup::update_targets(Service& service) {
    const std::vector<ServiceRecord> records = service.question->records().services;
    std::vector<Backend*> targets;
    for (const ServiceRecord& record : records) {
        const std::string text = fmt::format("{}:{}", record.host, record.port);
        const auto has_text = [&](const Backend* backend) { return backend->text() == text; };
        if (std::ranges::find_if(targets, has_text) != targets.end()) continue;
        Backend* target = nullptr;
        if (const auto old = std::ranges::find_if(service.targets, has_text);
            old != service.targets.end()) {
            target = *old;
            service.targets.erase(old);
        } else {
            backends_.push_back(make_target(service, record));
            target = backends_.back().get();
            if (elsewhere_ != nullptr)
                target->count_also(elsewhere_->connections_of_backend(site_.directory, text));
            log_info("site {}: {} has the backend {}", site_.name, service.configuration.text,
                     text);
        }
        target->set_share(
            share_of(record, records, service.configuration.weight),
            rank_of(record, records) + (service.configuration.is_backup ? BackupTier : 0));
        targets.push_back(target);
    }
    // Those that are left are no targets any more. Not destroyed here, since one of them may be
    // what has led here.
    for (Backend* gone : service.targets) {
        log_info("site {}: {} no longer has the backend {}", site_.name, service.configuration.text,
                 gone->text());
        const auto found = std::ranges::find(backends_, gone, &std::unique_ptr<Backend>::get);
        gone->retire();
        retired_.push_back(std::move(*found));
        backends_.erase(found);
    }
    service.targets = std::move(targets);
}

void BackendGroup::on_records(StandingQuestion& question) noexcept {
    const auto service = std::ranges::find(
        services_, &question, [](const Service& candidate) { return candidate.question.get(); });
    update_targets(*service);
    on_backend_change();
}

void BackendGroup::on_backend_change() noexcept {
    if (retired_.empty() && waiters_.size() == 0) return;
    if (!tidy_.is_active()) tidy_.start(Clock::duration::zero());
}

void BackendGroup::tidy() noexcept {
    std::erase_if(retired_, [](const auto& backend) { return backend->connections() == 0; });
    // Each of those that wait now is asked once at most, first come first served. All of them are
    // asked while there is none to be had at all: they have to learn that.
    for (size_t left = waiters_.size(); left > 0 && waiters_.front() != nullptr; left--) {
        if (collect(Clock::now(), {}) && candidates_.empty()) break;
        Waiter& waiter = *waiters_.front();
        waiters_.remove(waiter);
        waiter.on_backend_change();
    }
    follow_pauses();
}

void BackendGroup::wait(Waiter& waiter) {
    waiters_.push_back(waiter);
    follow_pauses();
}

// Nothing else tells those who wait that a pause is over, or a connection of another worker.
void BackendGroup::follow_pauses() {
    if (waiters_.size() == 0) return pause_over_.stop();
    const Clock::time_point now = Clock::now();
    Clock::time_point first = Clock::time_point::max();
    for (const auto& backend : backends_) {
        if (const auto until = backend->health().pause_until(); until > now)
            first = std::min(first, until);
        if (backend->counts_elsewhere()) first = std::min(first, now + LookElsewhereInterval);
    }
    if (first == Clock::time_point::max()) return pause_over_.stop();
    pause_over_.start(first - now);
}

void BackendGroup::stop_waiting(Waiter& waiter) {
    if (waiter.is_linked()) waiters_.remove(waiter);
}

}  // namespace proxyd::shim
