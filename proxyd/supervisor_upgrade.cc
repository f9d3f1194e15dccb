// SPDX-License-Identifier: MIT
//
// The supervisor's part in upgrades: the trial, becoming the new program, and going on as it.
#include "base/daemon/end_text.h"
#include "base/daemon/exit_code.h"
#include "base/daemon/log.h"
#include "proxyd/supervisor.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include <string_view>

namespace proxyd {
namespace {

using std::chrono::microseconds;

// For the event loop to bring what it knows of.
constexpr auto SignalTime = std::chrono::milliseconds(10);

constexpr std::string_view UnixPrefix = "unix:";  // of an address of metrics

}  // namespace

// Until the workers of our own are ready, those of the program before us go on: a generation
// without a configuration.
void Supervisor::adopt(InheritedState& inherited) {
    is_trial_ = inherited.is_trial;
    if (!is_trial_) service_.begin();
    current_ = std::make_unique<Generation>();
    current_->number = last_generation_ = inherited.generation;
    current_->addresses = std::move(inherited.addresses);
    current_->text = inherited.text_in_force;
    if (!is_trial_) text_to_fall_back_to_ = inherited.text_in_force;
    MetricsAddress& metrics = current_->configuration.daemon.metrics;
    metrics.text = inherited.metrics_address;
    if (metrics.text.starts_with(UnixPrefix)) metrics.path = metrics.text.substr(UnixPrefix.size());
    current_->metrics_socket = std::move(inherited.metrics_socket);
    if (inherited.counts.started_at_us > 0)
        started_at_ = ServiceState::Time(microseconds(inherited.counts.started_at_us));
    reloads_ = {inherited.counts.reloads, inherited.counts.reload_failures};
    upgrades_ = {inherited.counts.upgrades, inherited.counts.upgrade_failures};
    workers_.set_restart_count(inherited.counts.worker_restarts);
    workers_.set_last_run_number(inherited.run_number);
    workers_.adopt(std::move(inherited.workers), current_->number);
    if (!is_trial_)
        relay_.adopt(inherited.relay, std::move(inherited.relay_directory),
                     std::move(inherited.leaving_relays));
    if (is_trial_)
        control_.leave_alone(inherited.control_path);
    else
        control_.adopt(inherited);
}

void Supervisor::upgrade(Done done) {
    if (stop_requests_ > 0) {
        control_.on_task_end("upgrade", current_ ? current_->number : 0, {"proxyd is stopping"});
        return;
    }
    if (task_ != Task::None) {
        upgrade_next_.push_back(std::move(done));
        return;
    }
    task_done_.push_back(std::move(done));
    begin_upgrade();
}

void Supervisor::begin_upgrade() {
    task_ = Task::Upgrade;
    service_.busy("upgrading");
    Result<std::string, Problems> text = read_configuration_text(configuration_file_);
    if (!text) return finish_task(text.error());
    upgrade_text_ = *std::move(text);  // the trial and the new program are to read the same
    Result<Trial> trial = start_trial(program_, state_to_pass());
    if (!trial)
        return finish_task(
            {fmt::format("cannot try {}: {}", program_.path, errno_text(trial.error().number))});
    trial_ = *std::move(trial);
    task_late_.start(TaskTimeMax);
}

// What the trial could do failed now; but nobody can go back to the program of before.
void Supervisor::fall_back(Problems problems) {
    upgrade_problems_ = std::move(problems);
    upgrade_problems_.emplace_back(
        "the program is the new one already, and goes on with the configuration of before");
    begin(Task::Upgrade, *std::exchange(text_to_fall_back_to_, std::nullopt));
}

void Supervisor::on_trial_end(int status) {
    const Trial trial = *std::exchange(trial_, std::nullopt);
    task_late_.stop();
    if (stop_requests_ > 0) return finish_task({"stopping"});
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        // A signal that a handler has taken note of would be lost with this program: they are held
        // back, and what has come already is looked at before.
        hold_signals_back();
        becoming_.start(SignalTime);
        return;
    }
    Problems problems = trial.lines();
    problems.push_back(fmt::format("the trial of {} {}", program_.path, end_text(status)));
    finish_task(problems);
}

void Supervisor::on_becoming() noexcept {
    if (stop_requests_ > 0) {
        let_signals_in();
        return finish_task({"stopping"});
    }
    if (!reload_next_.empty()) {
        // The new program would not know that it is to read the configuration again, and whoever
        // asked for it would not be answered: that comes first, and then another trial.
        let_signals_in();
        task_ = Task::None;
        upgrade_next_ = std::exchange(task_done_, {});
        return begin_next_task();
    }
    log_notice("upgrade: the trial of {} succeeded", program_.path);
    const Errno why = become(program_, state_to_pass());
    finish_task({fmt::format("cannot execute {}: {}", program_.path, errno_text(why.number))});
}

StateToPass Supervisor::state_to_pass() {
    StateToPass state{
        .configuration_text = upgrade_text_,
        .text_in_force = current_->text,
        .addresses = current_->addresses,
        .workers = {},
        .metrics_address = current_->configuration.daemon.metrics.text,
        .metrics_socket = std::nullopt,
        .control_path = "",
        .control_socket = std::nullopt,
        .statistics = workers_.statistics().memory(),
        .counts = {std::chrono::duration_cast<microseconds>(started_at_.time_since_epoch()).count(),
                   reloads_.successes, reloads_.failures, upgrades_.successes, upgrades_.failures,
                   workers_.restart_count()},
        .relay = relay_.pid(),
        .relay_directory = relay_.directory(),
        .leaving_relays = relay_.leaving(),
        .generation = last_generation_,
        .run_number = workers_.last_run_number()};
    control_.pass_on(state);
    for (const auto& worker : workers_.workers())
        state.workers.push_back({worker->pid(), worker->index(), worker->identity().statistics_slot,
                                 worker->channel().socket(),
                                 worker->state() == WorkerProcess::State::Draining});
    if (current_->metrics_socket.is_open()) state.metrics_socket = current_->metrics_socket;
    return state;
}

}  // namespace proxyd
