// SPDX-License-Identifier: MIT
//
// Supervisor: what main does: it keeps the listening sockets, has workers do the work, and turns
// signals into a reload, an upgrade or the end. It never reads a byte from a client. Used by main.
//
// A start, a reload and what comes after an upgrade are the same: a next generation is prepared,
// its workers are started, and only when all of them are ready it takes the place of the current
// one, whose workers then finish what they have in hand. Whatever goes wrong before that changes
// nothing.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/daemon/metrics/metrics_http.h"
#include "proxyd/control_desk.h"
#include "proxyd/generation.h"
#include "proxyd/prometheus_text.h"
#include "proxyd/relay_process.h"
#include "proxyd/service_reports.h"
#include "proxyd/upgrade.h"
#include "proxyd/worker_pool.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace proxyd {

class Supervisor final : public WorkerPool::Owner,
                         public MetricsHttp::Owner,
                         public ControlDesk::Owner,
                         private RelayProcess::Owner {
  public:
    // Called when a reload or an upgrade is through; no problems: it succeeded.
    using Done = ControlDesk::Owner::Done;

    Supervisor(std::string configuration_file, Program program);

    // Runs until it is told to stop; the exit code. With `inherited` it goes on where the program
    // before it has stopped; otherwise it begins with `passed`, the service manager's sockets.
    int run(std::optional<InheritedState> inherited, ListeningAddresses passed);

  private:
    enum class Task { None, Start, Reload, Upgrade };
    static constexpr auto TaskTimeMax = std::chrono::seconds(60);

    // WorkerPool::Owner
    void on_generation_ready() override;
    void on_generation_failed(const std::string& why) override { give_next_up({why}); }
    void on_earlier_let_go() override;
    void on_worker_message(WorkerProcess& worker, const nlohmann::json& message) override;
    void on_worker_lost(WorkerProcess& worker, const std::string& how) override;
    void on_worker_serving(WorkerProcess& worker) override { control_.on_worker_serving(worker); }
    void on_worker_ended(const WorkerProcess& worker) override { control_.on_worker_ended(worker); }
    void on_no_worker_left() override;
    // MetricsHttp::Owner
    std::string metrics_text() override;
    std::vector<std::string> warnings() override;
    // ControlDesk::Owner
    StatusReport status_report() override;
    const std::vector<std::unique_ptr<WorkerProcess>>& worker_processes() override {
        return workers_.workers();
    }
    bool is_serving(const WorkerProcess& worker) override;
    void reload(Done done) override;
    void upgrade(Done done) override;

    // RelayProcess::Owner
    void on_relay_settled() override { on_earlier_let_go(); }

    // Signals.
    void on_stop() noexcept;
    void on_reload() noexcept;
    void on_upgrade() noexcept;
    void on_reopen() noexcept;
    void reopen_log_of(Generation& generation);
    void on_child() noexcept;

    // Tasks: one at a time.
    void begin(Task task, Result<std::string, Problems> text);
    void put_next_in_force();
    void on_settled() noexcept;
    Result<void, std::string> serve_metrics();
    void give_next_up(Problems problems);
    void remove_next_metrics_socket();
    void finish_task(const Problems& problems);
    void report_task(Task task, const Problems& problems);
    std::string status_text(Task last_task, bool has_failed) const;
    void begin_next_task();
    void on_task_late() noexcept;

    // Upgrade (supervisor_upgrade.cc).
    void adopt(InheritedState& inherited);
    void begin_upgrade();
    void on_trial_end(int status);
    void fall_back(Problems problems);
    void on_becoming() noexcept;
    StateToPass state_to_pass();

    void stop_loop() { loop_.stop(); }
    void stop_when_all_have_ended();
    void log_summary();

    const std::string configuration_file_;
    const Program program_;
    const ServiceState::Time program_started_at_ = std::chrono::system_clock::now();
    ServiceState::Time started_at_ = program_started_at_;  // the process: an upgrade keeps it
    bool is_trial_ = false;
    int stop_requests_ = 0;
    int exit_code_ = 0;

    EventLoop loop_;
    std::unique_ptr<Generation> current_;
    std::unique_ptr<Generation> next_;
    uint64_t last_generation_ = 0;
    WorkerPool workers_;
    ServiceReports service_;
    std::unique_ptr<MetricsHttp> metrics_;
    RelayProcess relay_{loop_, *this};
    ControlDesk control_{loop_, *this};

    Task task_ = Task::None;
    std::vector<Done> task_done_;
    std::optional<Trial> trial_;
    // What was asked for while a task was at work.
    std::vector<Done> reload_next_;
    std::vector<Done> upgrade_next_;

    std::string upgrade_text_;  // the configuration that the new program is to put in force
    // Only until a configuration is in force after an upgrade.
    std::optional<std::string> text_to_fall_back_to_;
    Problems upgrade_problems_;  // why it fell back

    Tries reloads_;
    Tries upgrades_;
    bool is_last_reload_successful_ = true;
    ServiceState::Time configured_at_ = program_started_at_;

    TimerWatcher<&Supervisor::on_task_late> task_late_;
    TimerWatcher<&Supervisor::on_becoming> becoming_;
    TimerWatcher<&Supervisor::on_settled> settled_;
    SignalWatcher<&Supervisor::on_stop> terminate_;
    SignalWatcher<&Supervisor::on_stop> interrupt_;
    SignalWatcher<&Supervisor::on_reload> hangup_;
    SignalWatcher<&Supervisor::on_reopen> user_signal_1_;
    SignalWatcher<&Supervisor::on_upgrade> user_signal_2_;
    SignalWatcher<&Supervisor::on_child> child_;
};

}  // namespace proxyd
