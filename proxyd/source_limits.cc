// SPDX-License-Identifier: MIT
//
// Sessions. A worker first counts its new session and then adds up what all have counted: whoever
// comes last sees everybody, so the sum never gets past the limit unseen (each one's store and the
// others' load are separated by a full fence). Counting afterwards would let two take the last
// place.
//
// Rate. Each counter is the time at which it would be idle again; a connection moves it on by the
// limit's interval, unless that is further than one second ahead. The row that is idle sooner is
// the judge. The other one is charged too, before, and at most to where it is full; so each row is
// always at least as far ahead as each of its sources alone would be, and no order of collisions
// lets a source have more than its limit.
#include "proxyd/source_limits.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cassert>
#include <utility>

namespace proxyd {
namespace {

constexpr uint64_t NanosecondsPerSecond = 1'000'000'000;

template <typename Integer>
Integer load(Integer& value) {
    return std::atomic_ref<Integer>(value).load(std::memory_order_relaxed);
}

// Only for values that nobody else writes.
template <typename Integer>
void store(Integer& value, Integer to) {
    std::atomic_ref<Integer>(value).store(to, std::memory_order_relaxed);
}

// Moves it to what `next` makes of it; false if that is nothing.
template <typename Next>
bool advance(uint64_t& value, Next next) {
    std::atomic_ref<uint64_t> shared(value);
    uint64_t before = shared.load(std::memory_order_relaxed);
    for (;;) {
        const uint64_t after = next(before);
        if (after == 0) return false;
        if (shared.compare_exchange_weak(before, after, std::memory_order_relaxed)) return true;
    }
}

}  // namespace

Result<SourceLimits> SourceLimits::create(size_t columns, SourceMaxima maxima) {
    static_assert(sizeof(Shared) % 4096 == 0 && sizeof(Counters) % 4096 == 0);
    assert(columns > 0 && columns <= ColumnsMax);
    SipHashKey key;
    if (getrandom(&key, sizeof(key), 0) != sizeof(key)) return Unexpected{Errno::last()};
    void* const area = mmap(nullptr, size_for(columns), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED) return Unexpected{Errno::last()};
    return SourceLimits(static_cast<Shared*>(area), columns, key, maxima);
}

SourceLimits::SourceLimits(SourceLimits&& other) noexcept
    : shared_(std::exchange(other.shared_, nullptr)),
      columns_(other.columns_),
      key_(other.key_),
      maxima_(other.maxima_) {}

SourceLimits& SourceLimits::operator=(SourceLimits&& other) noexcept {
    std::swap(shared_, other.shared_);
    std::swap(columns_, other.columns_);
    key_ = other.key_;
    maxima_ = other.maxima_;
    return *this;
}

SourceLimits::~SourceLimits() {
    if (shared_ != nullptr) munmap(shared_, size_for(columns_));
}

SourceLimits::Place SourceLimits::place_of(const SocketAddress& source) const {
    // The family, and 32 bits of IPv4 or 64 of IPv6; an IPv4-mapped address is an IPv4 one.
    std::array<uint8_t, 9> bytes{};
    const bool is_ipv6 = source.family() == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&source.ipv6());
    bytes[0] = is_ipv6 ? 6 : 4;
    if (is_ipv6)
        memcpy(&bytes[1], &source.ipv6(), 8);
    else if (source.family() == AF_INET6)
        memcpy(&bytes[1], &source.ipv6().s6_addr[12], 4);
    else
        memcpy(&bytes[1], &source.ipv4(), 4);
    const uint64_t hash = sip_hash(key_, bytes);
    static_assert(RowsCount == 2);
    return {hash % CountersPerRow, (hash >> 32) % CountersPerRow};
}

SourceVerdict SourceLimits::admit(size_t column, const SocketAddress& source,
                                  Clock::time_point now) {
    assert(column < columns_);
    if (!source.has_address()) return SourceVerdict::Fine;
    const Place place = place_of(source);
    const auto now_ns = static_cast<uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(now.time_since_epoch()).count());
    if (!charge_time(place, now_ns)) return SourceVerdict::TooFast;
    if (!add_session(column, place)) return SourceVerdict::TooManySessions;
    return SourceVerdict::Fine;
}

void SourceLimits::leave(size_t column, const SocketAddress& source) {
    if (source.has_address() && maxima_.sessions != 0) remove_session(column, place_of(source));
}

bool SourceLimits::charge_time(const Place& place, uint64_t now_ns) {
    if (maxima_.connections_per_second == 0) return true;
    const uint64_t rate = maxima_.connections_per_second;
    const uint64_t interval = (NanosecondsPerSecond + rate - 1) / rate;
    const uint64_t full = now_ns + interval * rate;
    const auto charged = [&](uint64_t idle_at) { return std::max(idle_at, now_ns) + interval; };

    uint64_t& first = shared_->idle_at[0][place[0]];
    uint64_t& second = shared_->idle_at[1][place[1]];
    const uint64_t first_before = load(first);    // before the other one: whoever moves both on at
    const uint64_t second_before = load(second);  // this moment has moved the judge last
    const bool first_is_judge = first_before <= second_before;
    if (charged(std::min(first_before, second_before)) > full) return false;
    advance(first_is_judge ? second : first,
            [&](uint64_t idle_at) { return std::max(idle_at, std::min(charged(idle_at), full)); });
    return advance(first_is_judge ? first : second, [&](uint64_t idle_at) {
        return charged(idle_at) <= full ? charged(idle_at) : 0;
    });
}

bool SourceLimits::add_session(size_t column, const Place& place) {
    if (maxima_.sessions == 0) return true;
    use_column(column);
    Counters& own = counters(column);
    for (size_t row = 0; row < RowsCount; row++)
        store(own[row][place[row]], load(own[row][place[row]]) + 1);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (sessions_at(place) <= maxima_.sessions) return true;
    remove_session(column, place);
    return false;
}

void SourceLimits::remove_session(size_t column, const Place& place) {
    Counters& own = counters(column);
    for (size_t row = 0; row < RowsCount; row++) {
        uint32_t& counter = own[row][place[row]];
        const uint32_t count = load(counter);
        store(counter, count - (count > 0 ? 1 : 0));
    }
}

size_t SourceLimits::sessions_at(const Place& place) const {
    std::array<size_t, RowsCount> sums{};
    for (size_t word = 0; word * 64 < columns_; word++)
        for (uint64_t bits = load(shared_->columns_in_use[word]); bits != 0; bits &= bits - 1) {
            Counters& each = counters(word * 64 + static_cast<size_t>(std::countr_zero(bits)));
            for (size_t row = 0; row < RowsCount; row++)
                sums[row] += load(each[row][place[row]]);
        }
    return *std::min_element(sums.begin(), sums.end());
}

size_t SourceLimits::sessions_of(const SocketAddress& source) const {
    return source.has_address() ? sessions_at(place_of(source)) : 0;
}

void SourceLimits::use_column(size_t column) {
    uint64_t& word = shared_->columns_in_use[column / 64];
    const uint64_t bit = uint64_t{1} << column % 64;
    if ((load(word) & bit) == 0) std::atomic_ref<uint64_t>(word).fetch_or(bit);
}

void SourceLimits::forget_worker(size_t column) {
    assert(column < columns_);
    Counters& all = counters(column);
    // Gives the memory back, and what is read from then on are zeros (madvise(2)).
    if (madvise(&all, sizeof(all), MADV_REMOVE) != 0)
        for (auto& row : all)
            for (uint32_t& counter : row)
                store(counter, uint32_t{0});
    std::atomic_ref<uint64_t>(shared_->columns_in_use[column / 64])
        .fetch_and(~(uint64_t{1} << column % 64));
}

}  // namespace proxyd
