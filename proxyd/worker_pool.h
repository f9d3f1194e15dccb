// SPDX-License-Identifier: MIT
//
// WorkerPool: the worker processes, of the generation in force, of the next one while it is being
// started, and of earlier ones while they finish what they have in hand; and the memory that main
// shares with them. It replaces workers of the generation in force that end, and ends those that
// have hung. Used by supervisor, which decides what is in force.
#pragma once

#include "base/daemon/channel.h"
#include "base/daemon/event_loop.h"
#include "base/daemon/restart_backoff.h"
#include "proxyd/generation.h"
#include "proxyd/source_limits.h"
#include "proxyd/statistics_area.h"
#include "proxyd/upgrade.h"
#include "proxyd/worker_process.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace proxyd {

class WorkerPool final : public Channel::Owner {
  public:
    class Owner {
      public:
        // All workers of the generation that was started last are ready.
        virtual void on_generation_ready() = 0;
        // One of them could not become ready, and why.
        virtual void on_generation_failed(const std::string& why) = 0;
        // No worker of another generation than that in force accepts clients any more.
        virtual void on_earlier_let_go() = 0;
        // What else a worker has to say.
        virtual void on_worker_message(WorkerProcess& worker, const nlohmann::json& message) = 0;
        // From now on it gets clients.
        virtual void on_worker_serving(WorkerProcess& worker) = 0;
        // A worker of the generation in force has ended without being told to.
        virtual void on_worker_lost(WorkerProcess& worker, const std::string& how) = 0;
        virtual void on_worker_ended(const WorkerProcess& worker) = 0;  // however
        virtual void on_no_worker_left() = 0;

      protected:
        ~Owner() = default;
    };

    WorkerPool(EventLoop& loop, Owner& owner);
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;

    // Takes the shared memory, that of the program before us if there is any; the error is a whole
    // message.
    Result<void, std::string> prepare(UniqueFd inherited_statistics);
    // Workers of the program before us: a generation that goes on, but of which none is replaced.
    void adopt(std::vector<InheritedWorker> workers, uint64_t generation);

    // Borrows `generation` until it is given up, or as long as it is in force.
    Result<void> start(const Generation& generation);
    // They get the clients from now on; all others finish what they have in hand.
    void put_in_force(const Generation& generation);
    bool have_earlier_let_go() const;
    // Ends the workers of one that isn't in force.
    void give_up(const Generation& generation);

    // No worker is replaced from now on.
    void drain_all();
    void end_all();   // sessions in hand are rejected
    void kill_all();  // they are cut off

    // To be called when a child has ended.
    void reap();

    const std::vector<std::unique_ptr<WorkerProcess>>& workers() const { return workers_; }
    // Of the generation in force; null while it is missing.
    WorkerProcess* serving(size_t index) const;
    StatisticsArea& statistics() { return *statistics_; }
    uint64_t restart_count() const { return restart_count_; }
    void set_restart_count(uint64_t count) { restart_count_ = count; }
    uint64_t wakeups_of_ended() const { return wakeups_of_ended_; }
    uint32_t last_run_number() const { return last_run_number_; }
    void set_last_run_number(uint32_t number) { last_run_number_ = number; }

  private:
    struct Place {  // in shared memory
        size_t source_column;
        size_t statistics_slot;
    };
    struct Slot {
        RestartBackoff backoff;
        Clock::time_point next_start{};
    };

    void on_message(Channel& channel, const nlohmann::json& message, UniqueFd descriptor) override;
    void on_channel_end(Channel& channel) override;
    void on_ready(WorkerProcess& worker);
    Result<void> start_worker(const Generation& generation, size_t index, bool is_replacement);
    void replace_missing();
    void on_end(WorkerProcess& worker, int status);
    void on_restart() noexcept { replace_missing(); }
    void on_ping() noexcept;
    bool is_starting(const WorkerProcess& worker) const;
    bool is_in_force(const WorkerProcess& worker) const;
    std::optional<size_t> free_source_column() const;
    WorkerProcess* worker_of(const Channel& channel) const;

    EventLoop& loop_;
    Owner& owner_;
    std::optional<SourceLimits> source_limits_;
    std::optional<StatisticsArea> statistics_;
    bool is_statistics_adopted_ = false;
    std::vector<std::unique_ptr<WorkerProcess>> workers_;
    const Generation* starting_ = nullptr;
    const Generation* in_force_ = nullptr;
    uint64_t generation_in_force_ = 0;  // also an adopted one's
    bool is_ending_ = false;
    std::vector<Slot> slots_;  // by a worker's index
    uint32_t last_run_number_;
    uint64_t restart_count_ = 0;
    uint64_t wakeups_of_ended_ = 0;
    TimerWatcher<&WorkerPool::on_restart> restart_;
    TimerWatcher<&WorkerPool::on_ping> ping_;
};

}  // namespace proxyd
