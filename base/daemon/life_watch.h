// SPDX-License-Identifier: MIT
//
// LifeWatch asks a worker over its channel for a sign of life, again and again, and counts how many
// in a row have not come: {"do": "ping"} is answered by {"is": "pong"}. Used by the mains of the
// daemons, each of which has a timer of its own for it and kills a worker that is lost.
#pragma once

#include "base/daemon/channel.h"

#include <chrono>

namespace proxyd {

class LifeWatch {
  public:
    // So many questions without an answer, and it has hung.
    static constexpr int MissesMax = 3;
    // From one question to the next, so that a worker has `timeout` to answer.
    static std::chrono::milliseconds interval(std::chrono::milliseconds timeout) {
        return timeout / MissesMax;
    }

    enum class State { Alive, HasHung, IsKnownToHaveHung };

    // Borrows the channel.
    explicit LifeWatch(Channel& channel) : channel_(channel) {}

    // Asks once more; what is to be thought of the worker until it answers. HasHung comes once.
    State ask();
    void on_answer() { unanswered_ = 0; }

  private:
    Channel& channel_;
    int unanswered_ = 0;
};

}  // namespace proxyd
