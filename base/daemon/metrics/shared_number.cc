// SPDX-License-Identifier: MIT
#include "base/daemon/metrics/shared_number.h"

namespace proxyd {

void SharedHistogram::add(uint64_t microseconds) {
    // Nearly all are in the first few buckets.
    size_t bucket = 0;
    while (bucket < BoundsUs.size() && microseconds > BoundsUs[bucket])
        bucket++;
    counts[bucket].add(1);
    sum_us.add(microseconds);
}

void SharedHistogram::add(const SharedHistogram& other) {
    for (size_t i = 0; i < BucketCount; i++)
        counts[i].add(other.counts[i].read());
    sum_us.add(other.sum_us.read());
}

void SharedHistogram::clear() {
    for (SharedNumber& count : counts)
        count.clear();
    sum_us.clear();
}

void Histogram::add(const SharedHistogram& shared) {
    for (size_t i = 0; i < counts.size(); i++)
        counts[i] += shared.counts[i].read();
    sum_us += shared.sum_us.read();
}

}  // namespace proxyd
