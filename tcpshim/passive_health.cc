// SPDX-License-Identifier: MIT
#include "tcpshim/passive_health.h"

#include <algorithm>
#include <limits>

namespace proxyd::shim {

bool PassiveHealth::note_failed(Clock::time_point began, Clock::time_point now) {
    if (failures_ < std::numeric_limits<uint32_t>::max()) failures_++;
    if (!is_on_trial() || began < paused_at_) return false;
    pause_ =
        std::clamp(pause_ * 2, settings_.pause, std::max(settings_.pause, settings_.pause_max));
    paused_at_ = now;
    pause_until_ = now + jitter_.lengthen(pause_);
    return true;
}

bool PassiveHealth::note_connected() {
    const bool was_left_out = is_on_trial();
    failures_ = 0;
    pause_ = Clock::duration::zero();
    pause_until_ = {};
    return was_left_out;
}

void PassiveHealth::note_chosen(Clock::time_point now) {
    if (is_on_trial()) pause_until_ = std::max(pause_until_, now + settings_.pause);
}

}  // namespace proxyd::shim
