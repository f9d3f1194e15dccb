// SPDX-License-Identifier: MIT
//
// RestartBackoff: how long to wait before a process that has ended is replaced. One that did its
// work for a while is replaced at once; those that end right after their start come ever less
// often. Used for proxyd's workers, and by proxyrun for its server; knows neither processes nor
// timers.
#pragma once

#include "base/daemon/event_loop.h"

#include <algorithm>
#include <random>

namespace proxyd {

class RestartBackoff {
  public:
    static constexpr Clock::duration GoodLifetime = std::chrono::seconds(1);
    static constexpr Clock::duration DelayMin = std::chrono::milliseconds(100);
    static constexpr Clock::duration DelayMax = std::chrono::seconds(10);

    // After an end; `lifetime` is zero for one that could not even be started. Up to a fifth longer
    // than told, so that several don't keep in step.
    Clock::duration next(Clock::duration lifetime) {
        if (lifetime >= GoodLifetime) {
            delay_ = Clock::duration::zero();
            return delay_;
        }
        delay_ = std::clamp(delay_ * 2, DelayMin, DelayMax);
        return delay_ + delay_ * std::uniform_int_distribution<int>(0, 20)(random_) / 100;
    }

  private:
    Clock::duration delay_ = Clock::duration::zero();
    std::minstd_rand random_{std::random_device{}()};
};

}  // namespace proxyd
