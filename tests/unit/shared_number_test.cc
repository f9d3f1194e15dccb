// SPDX-License-Identifier: MIT
#include "base/daemon/metrics/shared_number.h"

#include "tests/unit/catch.h"

using namespace proxyd;

TEST_CASE("shared number: goes up and down, and back to 0", "[shared_number]") {
    SharedNumber number;
    number.add(3);
    number.subtract(1);
    CHECK(number.read() == 2);
    number.clear();
    CHECK(number.read() == 0);
}

TEST_CASE("shared histogram: the bound of a bucket belongs to it", "[shared_number]") {
    SharedHistogram histogram;
    for (const uint64_t microseconds : {0u, 50u, 51u, 60'000'000u, 60'000'001u})
        histogram.add(microseconds);

    CHECK(histogram.counts[0].read() == 2);
    CHECK(histogram.counts[1].read() == 1);
    CHECK(histogram.counts[SharedHistogram::BucketCount - 2].read() == 1);
    CHECK(histogram.counts[SharedHistogram::BucketCount - 1].read() == 1);
    CHECK(histogram.sum_us.read() == 120'000'102);
}

TEST_CASE("shared histogram: is added to others, and cleared", "[shared_number]") {
    SharedHistogram first, second;
    first.add(40);
    second.add(50);
    second.add(100);
    first.add(second);
    CHECK(first.counts[0].read() == 2);
    CHECK(first.counts[1].read() == 1);
    CHECK(first.sum_us.read() == 190);

    Histogram sum;
    sum.add(first);
    sum.add(second);
    CHECK(sum.counts[0] == 3);
    CHECK(sum.counts[1] == 2);
    CHECK(sum.sum_us == 340);

    first.clear();
    CHECK(first.counts[0].read() == 0);
    CHECK(first.counts[1].read() == 0);
    CHECK(first.sum_us.read() == 0);
}
