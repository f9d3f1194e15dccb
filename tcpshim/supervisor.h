// SPDX-License-Identifier: MIT
//
// Supervisor: what main does: it holds the site sockets open, has a worker serve the clients that
// come to them, replaces it when it dies, and turns signals and commands into a reload or the end.
// It never reads a byte from a client. Used by main().
//
// A start and a reload are the same: the next generation is prepared, its worker started, and only
// when that is ready it takes the place of the current one, which then goes on relaying what it has
// until it is done; only the end limits that, by drain_timeout. Whatever goes wrong before that
// changes nothing.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/daemon/metrics/metrics_http.h"
#include "base/daemon/restart_backoff.h"
#include "tcpshim/control_desk.h"
#include "tcpshim/statistics_totals.h"
#include "tcpshim/worker_process.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace proxyd::shim {

// What is wrong, each a whole line.
using Problems = std::vector<std::string>;

struct LoadFailure {
    int exit_code;
    Problems problems;
};

class Supervisor final : private Channel::Owner,
                         private ControlDesk::Owner,
                         private MetricsHttp::Owner {
  public:
    // `load` gives the configuration, at the start and at each reload.
    using Load = std::function<Result<Configuration, LoadFailure>()>;
    // `passed` are a keeper's.
    Supervisor(Load load, std::vector<PassedSocket> passed);

    // Runs until it is told to stop; the exit code.
    int run();

  private:
    using Done = ControlDesk::Owner::Done;

    // Channel::Owner
    void on_message(Channel& channel, const nlohmann::json& message, UniqueFd) override;
    void on_channel_end(Channel& channel) override;
    // ControlDesk::Owner
    void reload(Done done) override;
    ServiceStatus status() override;
    StatisticsTotals totals() override;
    std::string metrics_text() override;  // MetricsHttp::Owner's as well
    void set_level(LogLevel level) override;

    // Signals.
    void leave(std::string_view state);
    void on_stop() noexcept;
    void on_quit() noexcept;
    void on_hangup() noexcept;
    void on_reopen() noexcept;
    void on_child() noexcept;

    // A start or a reload, one at a time.
    void begin();
    Problems prepare(Generation& next);
    Result<void, std::string> start_worker(const std::shared_ptr<Generation>& generation);
    void put_next_in_force();
    void serve_metrics();
    void give_up_next(Problems problems);
    void on_task_late() noexcept;
    void finish(const Problems& problems);
    void tell_manager(const Result<void>& told);
    void on_watchdog() noexcept;

    // Workers.
    WorkerProcess* worker_of(const Channel& channel) const;
    WorkerProcess* serving() const;
    void on_worker_end(std::unique_ptr<WorkerProcess> worker, int status);
    void replace_worker() noexcept;
    void watch_lives();
    void on_ping() noexcept;
    void on_drain_over() noexcept;

    const Load load_;
    const std::vector<PassedSocket> passed_;
    const std::chrono::system_clock::time_point started_at_ = std::chrono::system_clock::now();
    std::chrono::system_clock::time_point configured_at_ = started_at_;
    EventLoop loop_;
    std::shared_ptr<Generation> current_, next_;
    uint64_t last_generation_ = 0;
    std::vector<std::unique_ptr<WorkerProcess>> workers_;
    StatisticsTotals ended_;  // what workers had counted that are gone
    ControlDesk control_{loop_, *this};
    std::unique_ptr<MetricsHttp> metrics_;
    RestartBackoff backoff_;
    std::vector<Done> done_, reload_next_;
    bool is_busy_ = false, wants_reload_ = false, is_manager_deaf_ = false;
    bool is_leaving_ = false;
    int stop_requests_ = 0, exit_code_ = 0;
    uint64_t restarts_ = 0, reloads_ = 0, failed_reloads_ = 0;
    TimerWatcher<&Supervisor::replace_worker> restart_;
    TimerWatcher<&Supervisor::on_task_late> task_late_;
    TimerWatcher<&Supervisor::on_watchdog> watchdog_;
    TimerWatcher<&Supervisor::on_ping> ping_;
    TimerWatcher<&Supervisor::on_drain_over> drain_over_;
    SignalWatcher<&Supervisor::on_stop> terminate_, interrupt_;
    SignalWatcher<&Supervisor::on_quit> quit_;
    SignalWatcher<&Supervisor::on_hangup> hangup_;
    SignalWatcher<&Supervisor::on_reopen> user_signal_1_;
    SignalWatcher<&Supervisor::on_child> child_;
};

}  // namespace proxyd::shim
