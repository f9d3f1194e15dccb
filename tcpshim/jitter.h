// SPDX-License-Identifier: MIT
//
// Jitter: a little chance for times, so that what began together doesn't stay in step. Used by
// whatever waits and tries again. No secret: it is seeded by the clock, since a sandbox may leave
// no better source, and it differs from object to object.
#pragma once

#include "base/daemon/event_loop.h"

#include <cstdint>
#include <random>

namespace proxyd::shim {

class Jitter {
  public:
    Jitter() : random_(seed()) {}

    // Up to a fifth longer.
    Clock::duration lengthen(Clock::duration time) {
        return time + time * std::uniform_int_distribution<int>(0, 200)(random_) / 1000;
    }
    // Up to a tenth longer or shorter.
    Clock::duration vary(Clock::duration time) {
        return time + time * std::uniform_int_distribution<int>(-100, 100)(random_) / 1000;
    }
    uint8_t byte() { return static_cast<uint8_t>(random_() >> 8); }

  private:
    static uint32_t seed() {
        static uint64_t count = 0;
        const auto now = static_cast<uint64_t>(Clock::now().time_since_epoch().count());
        // Spreads consecutive numbers over all bits (2^64 divided by the golden ratio).
        return static_cast<uint32_t>((now + ++count) * 0x9e3779b97f4a7c15 >> 32);
    }

    std::minstd_rand random_;
};

}  // namespace proxyd::shim
