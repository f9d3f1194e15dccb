// SPDX-License-Identifier: MIT
//
// Turns the event loop until something has come true. Used by tests of what lives on it.
#pragma once

#include "base/daemon/event_loop.h"

namespace proxyd::test {

// False after 30 s.
template <typename Condition>
bool run_until(EventLoop& loop, Condition&& is_true) {
    const Clock::time_point deadline = Clock::now() + std::chrono::seconds(30);
    // So that the loop looks up now and then if nothing happens.
    ev_timer tick;
    ev_timer_init(
        &tick, [](struct ev_loop*, ev_timer*, int) {}, 0.1, 0.1);
    ev_timer_start(loop.libev(), &tick);
    while (!is_true() && Clock::now() < deadline)
        ev_run(loop.libev(), EVRUN_ONCE);
    ev_timer_stop(loop.libev(), &tick);
    return is_true();
}

}  // namespace proxyd::test
