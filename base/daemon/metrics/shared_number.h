// SPDX-License-Identifier: MIT
//
// Numbers that one process writes and others may read at any time, in memory that they share:
// SharedNumber and SharedHistogram cost a relaxed load and store, no lock and no system call.
// Histogram is what a reader makes of the latter. Used for the statistics of daemons.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace proxyd {

class SharedNumber {
  public:
    void add(uint64_t more) { value_.store(read() + more, std::memory_order_relaxed); }
    void subtract(uint64_t less) { value_.store(read() - less, std::memory_order_relaxed); }
    void clear() { value_.store(0, std::memory_order_relaxed); }
    uint64_t read() const { return value_.load(std::memory_order_relaxed); }

  private:
    std::atomic<uint64_t> value_{0};
};
static_assert(std::atomic<uint64_t>::is_always_lock_free && sizeof(SharedNumber) == 8);

// How often something took how long; the last bucket is for what is beyond all bounds.
struct SharedHistogram {
    static constexpr std::array<uint64_t, 19> BoundsUs = {
        50,        100,       250,        500,        1'000,     2'500,   5'000,
        10'000,    25'000,    50'000,     100'000,    250'000,   500'000, 1'000'000,
        2'500'000, 5'000'000, 10'000'000, 30'000'000, 60'000'000};
    static constexpr size_t BucketCount = BoundsUs.size() + 1;

    std::array<SharedNumber, BucketCount> counts;  // of each bucket alone
    SharedNumber sum_us;

    void add(uint64_t microseconds);
    // All that `other` has counted, too.
    void add(const SharedHistogram& other);
    void clear();
};

// As plain numbers, of any number of processes.
struct Histogram {
    std::array<uint64_t, SharedHistogram::BucketCount> counts{};  // of each bucket alone
    uint64_t sum_us = 0;

    void add(const SharedHistogram& shared);
};

}  // namespace proxyd
