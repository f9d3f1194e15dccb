// SPDX-License-Identifier: MIT
//
// What the supervisor tells of itself and its workers, when it is asked and at the end.
#include "base/daemon/confinement/landlock.h"
#include "base/daemon/log.h"
#include "proxyd/supervisor.h"

namespace proxyd {

std::string Supervisor::metrics_text() {
    ServiceState service;
    service.version = PROXYD_VERSION;
    service.started_at = started_at_;
    service.worker_restarts = workers_.restart_count();
    service.reloads = reloads_;
    service.upgrades = upgrades_;
    service.is_last_reload_successful = is_last_reload_successful_;
    service.configured_at = configured_at_;
    for (const auto& worker : workers_.workers()) {
        if (worker->state() == WorkerProcess::State::Serving) {
            service.workers_serving++;
            service.workers.push_back(process_figures(worker->pid()));
        } else if (worker->state() == WorkerProcess::State::Draining) {
            service.workers_draining++;
        }
    }
    StatisticsArea& statistics = workers_.statistics();
    statistics.own().count_log_lines(take_log_line_counts());
    return prometheus_text(statistics.snapshot(), service);
}

bool Supervisor::is_serving(const WorkerProcess& worker) {
    return current_ != nullptr && worker.generation() == current_->number &&
           worker.state() == WorkerProcess::State::Serving;
}

StatusReport Supervisor::status_report() {
    using std::chrono::system_clock;
    StatusReport status;
    status.uptime = system_clock::now() - started_at_;
    status.program_uptime = system_clock::now() - program_started_at_;
    status.configuration_age = system_clock::now() - configured_at_;
    status.restarts = workers_.restart_count();
    if (current_ == nullptr) return status;
    status.generation = current_->number;
    status.configuration = &current_->configuration;
    status.user = current_->user.name;
    status.landlock = landlock_version();
    if (!current_->relay.is_empty())
        status.relay = {relay_.pid(), relay_.restarts(),
                        current_->configuration.tcpshim.configuration.daemon.control,
                        relay_.problems()};
    for (const ListeningAddress& listening : current_->addresses)
        status.listeners.push_back(listening.address);
    for (const auto& worker : workers_.workers()) {
        StatusReport::Worker& told = status.workers.emplace_back();
        told.index = worker->index();
        told.pid = worker->pid();
        told.generation = worker->generation();
        told.state = worker_state_word(worker->state());
        told.uptime = Clock::now() - worker->started_at();
        if (const auto slot = worker->identity().statistics_slot)
            told.counts = StatusReport::counts_from(workers_.statistics().slot(*slot));
    }
    return status;
}

void Supervisor::log_summary() {
    remove_metrics_socket(current_->configuration.daemon.metrics);
    const StatisticsSnapshot counted = workers_.statistics().snapshot();
    log_notice("stopped: sessions={} handed_over={} rejected={} closed={} timed_out={} wakeups={}",
               counted.accepted, counted.sessions(Verdict::HandedOver),
               counted.sessions(Verdict::Rejected), counted.sessions(Verdict::Closed),
               counted.sessions(Verdict::TimedOut), workers_.wakeups_of_ended());
}

}  // namespace proxyd
