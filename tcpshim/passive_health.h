// SPDX-License-Identifier: MIT
//
// PassiveHealth: what clients' connections say about a backend. Failures in a row have it left out
// for a while, twice as long each time that it fails again. Used by backend, which decides what is
// a failure; knows neither sockets nor timers.
//
// When its pause is over it is on trial: one client in every first pause's time is sent to it,
// until one is connected; so a backend that is still broken isn't given all clients at once.
#pragma once

#include "base/daemon/event_loop.h"
#include "tcpshim/jitter.h"

#include <cstdint>

namespace proxyd::shim {

class PassiveHealth {
  public:
    struct Settings {
        uint32_t failures_max;  // in a row, until it is left out; 0: never
        Clock::duration pause;
        Clock::duration pause_max;
    };

    explicit PassiveHealth(const Settings& settings) : settings_(settings) {}

    // An attempt that began at `began` has failed. Returns whether the backend is left out because
    // of it. Attempts that began before the last such decision don't make it longer: they are what
    // it was made for.
    bool note_failed(Clock::time_point began, Clock::time_point now);
    // Returns whether it had been left out.
    bool note_connected();
    // A client is sent to it.
    void note_chosen(Clock::time_point now);
    // It needn't wait for the end of its pause: it is on trial.
    void end_pause() { pause_until_ = {}; }

    bool is_paused(Clock::time_point now) const { return now < pause_until_; }
    bool is_on_trial() const {
        return settings_.failures_max != 0 && failures_ >= settings_.failures_max;
    }
    uint32_t failures() const { return failures_; }
    Clock::time_point paused_at() const { return paused_at_; }
    Clock::time_point pause_until() const { return pause_until_; }

  private:
    Settings settings_;
    uint32_t failures_ = 0;                            // in a row
    Clock::duration pause_ = Clock::duration::zero();  // the last one's length, without jitter
    Clock::time_point paused_at_{};
    Clock::time_point pause_until_{};
    Jitter jitter_;
};

}  // namespace proxyd::shim
