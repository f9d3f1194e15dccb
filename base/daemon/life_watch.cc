// SPDX-License-Identifier: MIT
#include "base/daemon/life_watch.h"

#include <nlohmann/json.hpp>

namespace proxyd {

LifeWatch::State LifeWatch::ask() {
    channel_.send({{"do", "ping"}});
    const int unanswered = unanswered_++;
    if (unanswered < MissesMax) return State::Alive;
    return unanswered == MissesMax ? State::HasHung : State::IsKnownToHaveHung;
}

}  // namespace proxyd
