// SPDX-License-Identifier: MIT
#include "tcpshim/statistics_writer.h"

#include <algorithm>
#include <chrono>

namespace proxyd::shim {
namespace {

constexpr auto CopyInterval = std::chrono::milliseconds(100);

uint64_t now_ms() {
    using namespace std::chrono;
    return static_cast<uint64_t>(
        duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count());
}

void set(SharedNumber& number, uint64_t value) {
    number.add(value - number.read());
}

void add_timing(SharedHistogram& histogram, int64_t microseconds) {
    if (microseconds >= 0) histogram.add(static_cast<uint64_t>(microseconds));
}

// What has made it fail since it was looked at last; "" if nothing has.
std::string_view new_failure(const Backend::Counters& before, const Backend::Counters& now) {
    for (size_t i = 0; i < now.failed.size(); i++)
        if (now.failed[i] > before.failed[i])
            return connect_failure_word(static_cast<ConnectFailure>(i));
    return "";
}

}  // namespace

StatisticsWriter::StatisticsWriter(EventLoop& loop, const Configuration& configuration,
                                   WorkerStatistics& statistics)
    : configuration_(configuration),
      statistics_(statistics),
      later_(loop, *this),
      pause_over_(loop, *this),
      before_wait_(loop, *this) {
    slots_.resize(configuration.sites.size());
    for (size_t i = 0; i < configuration.sites.size(); i++)
        site_indices_.emplace(configuration.sites[i].name, i);
}

void StatisticsWriter::follow(const std::vector<std::unique_ptr<Site>>& sites) {
    sites_ = &sites;
    copy();
}

void StatisticsWriter::count_begin(const Site& site) {
    const auto index = static_cast<size_t>(&site.configuration - configuration_.sites.data());
    statistics_.site(index).accepted.add(1);
    statistics_.site(index).active.add(1);
}

void StatisticsWriter::count_end(const ConnectionRecord& record) {
    const auto found = site_indices_.find(record.site);
    if (found == site_indices_.end()) return;
    SiteStatistics& site = statistics_.site(found->second);
    site.active.subtract(1);
    site.endings[static_cast<size_t>(record.ending)].add(1);
    if (record.ending == Ending::NoBackend)
        site.unserved[static_cast<size_t>(record.failure)].add(1);
    if (record.attempts > 1) site.retried.add(record.attempts - 1);
    site.bytes_to_backend.add(record.bytes_to_backend);
    site.bytes_to_client.add(record.bytes_to_client);
    add_timing(site.timings[static_cast<size_t>(Timing::Connect)], record.connect_us);
    add_timing(site.timings[static_cast<size_t>(Timing::FirstByte)], record.first_to_client_us);
    add_timing(site.timings[static_cast<size_t>(Timing::Total)], record.total_us);
    if (record.ending == Ending::NoBackend || record.connect_us < 0) return;
    Slot* const slot = slot_of(found->second, record.backend);
    if (slot == nullptr) return;
    BackendStatistics* const backend = slot->memory;
    backend->connections.add(1);
    backend->bytes_to_backend.add(record.bytes_to_backend);
    backend->bytes_to_client.add(record.bytes_to_client);
}

// Nothing if there are more targets of services than slots: those are counted with the site alone.
StatisticsWriter::Slot* StatisticsWriter::slot_of(size_t site, std::string_view text) {
    auto& used = slots_[site];
    if (const auto found = used.find(text); found != used.end()) return &found->second;
    const auto slots = statistics_.backends_of(site);
    if (used.size() == slots.size()) return nullptr;
    BackendStatistics& memory = slots[used.size()];
    memory.text.write(text);
    return &used.emplace(text, Slot{&memory}).first->second;
}

// Once the timer has come nothing more is due: what the other callbacks of this round have changed
// is copied too.
void StatisticsWriter::on_before_wait() noexcept {
    if (sites_ == nullptr) return;
    if (std::exchange(is_due_, false)) return copy();
    if (later_.is_active()) return;
    if (Clock::now() - copied_at_ >= CopyInterval)
        copy();
    else
        later_.start(CopyInterval);
}

void StatisticsWriter::copy() {
    const Clock::time_point now = Clock::now();
    copied_at_ = now;
    turn_++;
    Clock::time_point next = Clock::time_point::max();  // end of a pause, which is no event
    for (size_t site = 0; site < sites_->size(); site++) {
        for (const auto& backend : (*sites_)[site]->group.backends()) {
            copy_backend(site, *backend, now);
            if (backend->state(now) == BackendState::Paused)
                next = std::min(next, backend->health().pause_until());
        }
        for (const auto& backend : (*sites_)[site]->group.retired())
            copy_retired(site, *backend);
    }
    forget_gone();
    if (next == Clock::time_point::max())
        pause_over_.stop();
    else
        pause_over_.start(next - now);
}

StatisticsWriter::Followed& StatisticsWriter::followed_of(size_t site, const Backend& backend) {
    const auto [found, is_new] = followed_.try_emplace(backend.number());
    if (is_new) found->second.slot = slot_of(site, backend.text());
    found->second.copied = turn_;
    return found->second;
}

// Returns whether it is the first backend of its slot in this turn.
bool StatisticsWriter::copy_counters(Followed& followed, const Backend& backend) {
    BackendStatistics& slot = *followed.slot->memory;
    const Backend::Counters& counters = backend.counters();
    slot.chosen.add(counters.chosen - followed.counted.chosen);
    slot.answered.add(counters.answered - followed.counted.answered);
    slot.checks_good.add(counters.checks_good - followed.counted.checks_good);
    slot.checks_bad.add(counters.checks_bad - followed.counted.checks_bad);
    for (size_t i = 0; i < counters.failed.size(); i++)
        slot.failed[i].add(counters.failed[i] - followed.counted.failed[i]);
    followed.counted = counters;
    const bool is_first = std::exchange(followed.slot->copied, turn_) != turn_;
    set(slot.active, (is_first ? 0 : slot.active.read()) + backend.connections());
    return is_first;
}

void StatisticsWriter::copy_backend(size_t site, const Backend& backend, Clock::time_point now) {
    Followed& followed = followed_of(site, backend);
    if (followed.slot == nullptr) return;
    const std::string_view failure = new_failure(followed.counted, backend.counters());
    copy_counters(followed, backend);
    const BackendState state = backend.state(now);
    if (state == followed.state) return;
    followed.state = state;
    BackendStatistics& slot = *followed.slot->memory;
    set(slot.state, static_cast<uint64_t>(state));
    set(slot.since_ms, now_ms());
    if (state == BackendState::Up)
        slot.cause.write("");
    else if (state == BackendState::Down && !backend.last_check().empty())
        slot.cause.write(backend.last_check());
    else if (!failure.empty())
        slot.cause.write(failure);
}

void StatisticsWriter::copy_retired(size_t site, const Backend& backend) {
    Followed& followed = followed_of(site, backend);
    if (followed.slot == nullptr) return;
    if (copy_counters(followed, backend))
        set(followed.slot->memory->state, BackendStatistics::Gone);
}

// Backends that are no more.
void StatisticsWriter::forget_gone() {
    std::erase_if(followed_, [this](const auto& entry) {
        const Followed& followed = entry.second;
        if (followed.copied == turn_) return false;
        if (followed.slot != nullptr && followed.slot->copied != turn_) {
            set(followed.slot->memory->active, 0);
            set(followed.slot->memory->state, BackendStatistics::Gone);
        }
        return true;
    });
}

}  // namespace proxyd::shim
