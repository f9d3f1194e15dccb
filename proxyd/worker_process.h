// SPDX-License-Identifier: MIT
//
// WorkerProcess: a worker as main sees it: a child process and the channel to it. The child itself
// is run_worker (worker_main.cc): a process that main has forked, without executing anything, so
// that all workers of a generation have the same configuration.
//
//     main ──▶ worker   {"do": "go" | "drain" | "end_now" | "ping" | "access_log" + descriptor}
//     worker ──▶ main   {"is": "ready" | "failed", "why" | "draining" | "pong" | "ended",
//     "wakeups"}
#pragma once

#include "base/daemon/channel.h"
#include "base/daemon/event_loop.h"
#include "base/daemon/life_watch.h"
#include "base/posix/result.h"
#include "base/posix/unique_fd.h"
#include "proxyd/generation.h"
#include "proxyd/source_limits.h"
#include "proxyd/statistics_area.h"

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace proxyd {

// What a worker is made from; all of it outlives the fork.
struct WorkerSetup {
    const Generation& generation;
    size_t index = 0;         // from 0 to configuration.workers - 1
    uint32_t run_number = 0;  // different for every worker ever
    SourceLimits& source_limits;
    size_t source_column = 0;
    StatisticsArea& statistics;
    size_t statistics_slot = 0;
    bool is_replacement = false;  // of one that died: has to cope with what has gone meanwhile
};

class WorkerProcess {
  public:
    enum class State { Starting, Ready, Serving, Draining };

    struct Identity {
        pid_t pid = 0;
        size_t index = 0;
        uint64_t generation = 0;
        // Its own places in shared memory, if it has them.
        std::optional<size_t> source_column;
        std::optional<size_t> statistics_slot;
    };

    // Forks. Does not return in the child.
    static Result<std::unique_ptr<WorkerProcess>> start(EventLoop& loop, Channel::Owner& owner,
                                                        const WorkerSetup& setup);
    // One that exists, at the other end of `channel`.
    WorkerProcess(EventLoop& loop, Channel::Owner& owner, UniqueFd channel, Identity identity)
        : identity_(identity), channel_(loop, std::move(channel), owner) {}

    const Identity& identity() const { return identity_; }
    pid_t pid() const { return identity_.pid; }
    size_t index() const { return identity_.index; }
    uint64_t generation() const { return identity_.generation; }
    State state() const { return state_; }
    Channel& channel() { return channel_; }
    Clock::time_point started_at() const { return started_at_; }

    void set_state(State state) { state_ = state; }
    void go();
    void drain();
    void end_now();
    void kill();
    LifeWatch& life() { return life_; }
    // Whether it has told that it accepts no more clients.
    bool has_let_go() const { return has_let_go_; }
    void set_has_let_go() { has_let_go_ = true; }

  private:
    const Identity identity_;
    State state_ = State::Starting;
    bool has_let_go_ = false;
    const Clock::time_point started_at_ = Clock::now();
    Channel channel_;
    LifeWatch life_{channel_};
};

// "starting", "serving" or "draining", for people.
std::string_view worker_state_word(WorkerProcess::State state);

// The child's side: becomes a worker with what it got, and ends the process when it is done.
[[noreturn]] void run_worker(const WorkerSetup& setup, UniqueFd channel);

}  // namespace proxyd
