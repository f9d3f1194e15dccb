// SPDX-License-Identifier: MIT
//
// Supervisor: what main does once it has a configuration: it keeps the listening sockets, has
// workers do the work, replaces those that die, and turns signals into a reload, an upgrade or the
// end. It never reads a byte from a client. Used by main.
//
// A start, a reload and what comes after an upgrade are the same: a next generation is prepared,
// its workers are started, and only when all of them are ready it takes the place of the current
// one, whose workers then finish what they have in hand. Whatever goes wrong before that changes
// nothing.
#pragma once

#include "base/daemon/event_loop.h"
#include "proxyd/channel.h"
#include "proxyd/generation.h"
#include "proxyd/restart_backoff.h"
#include "proxyd/upgrade.h"
#include "proxyd/worker.h"
#include "proxyd/worker_process.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace proxyd {

class Supervisor final : public Channel::Owner {
  public:
    // Called when a reload or an upgrade is through; no problems: it succeeded.
    using Done = std::function<void(const Problems&)>;

    Supervisor(std::string configuration_file, Program program);

    // Takes the memory that workers share; the error is a whole message.
    Result<void, std::string> prepare();
    // Runs until it is told to stop; the exit code. With `inherited` it goes on where the program
    // before it has stopped.
    int run(std::optional<InheritedState> inherited);

  private:
    enum class Task { None, Start, Reload, Upgrade };

    void on_message(Channel& channel, const nlohmann::json& message, UniqueFd descriptor) override;
    void on_channel_end(Channel&) override {}  // its process ends, which is heard of

    // Signals.
    void on_stop() noexcept;
    void on_reload() noexcept { reload({}); }
    void on_upgrade() noexcept { upgrade({}); }
    void on_reopen() noexcept;
    void on_child() noexcept;

    // Generations.
    void adopt(InheritedState& inherited);
    void reload(Done done);
    void begin(Task task, Result<std::string, Problems> text);
    void start_next_if_ready(WorkerProcess& worker);
    void put_next_in_force();
    void give_next_up(Problems problems);
    void finish_task(const Problems& problems);
    void on_task_late() noexcept;

    // Upgrade.
    void upgrade(Done done);
    void on_trial_end(int status);
    void become_the_new_program();
    StateToPass state_to_pass() const;

    // Workers.
    std::optional<size_t> free_column() const;
    bool start_worker(const Generation& generation, size_t index, bool is_replacement);
    void replace_missing_workers();
    void on_restart() noexcept { replace_missing_workers(); }
    void on_worker_end(WorkerProcess& worker, int status);
    void on_ping() noexcept;
    WorkerProcess* serving(size_t index) const;
    WorkerProcess* worker_of(const Channel& channel) const;
    void log_summary() const;

    const std::string configuration_file_;
    const Program program_;
    bool is_trial_ = false;
    int stop_requests_ = 0;
    int exit_code_ = 0;

    EventLoop loop_;
    std::unique_ptr<Generation> current_;
    std::unique_ptr<Generation> next_;
    uint64_t last_generation_ = 0;
    uint32_t last_run_number_ = 0;
    std::vector<std::unique_ptr<WorkerProcess>> workers_;

    Task task_ = Task::None;
    std::vector<Done> task_done_;
    std::optional<Trial> trial_;
    // What was asked for while a task was at work.
    std::vector<Done> reload_next_;
    std::vector<Done> upgrade_next_;

    struct Slot {
        RestartBackoff backoff;
        Clock::time_point next_start{};
    };
    std::optional<SourceLimits> source_limits_;
    std::vector<Slot> slots_;  // by a worker's index
    WorkerCounts counts_{};    // of workers that have ended

    TimerWatcher<&Supervisor::on_task_late> task_late_;
    TimerWatcher<&Supervisor::on_restart> restart_;
    TimerWatcher<&Supervisor::on_ping> ping_;
    SignalWatcher<&Supervisor::on_stop> terminate_;
    SignalWatcher<&Supervisor::on_stop> interrupt_;
    SignalWatcher<&Supervisor::on_reload> hangup_;
    SignalWatcher<&Supervisor::on_reopen> user_signal_1_;
    SignalWatcher<&Supervisor::on_upgrade> user_signal_2_;
    SignalWatcher<&Supervisor::on_child> child_;
};

}  // namespace proxyd
