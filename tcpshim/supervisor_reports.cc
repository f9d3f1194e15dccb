// SPDX-License-Identifier: MIT
//
// What the supervisor tells the service manager, and its answers to those who ask how it is.
#include "base/daemon/log.h"
#include "base/daemon/service_manager.h"
#include "tcpshim/service_status.h"
#include "tcpshim/supervisor.h"

#include <utility>

namespace proxyd::shim {

// A manager that can't be told is no reason to end; it may find one to end us.
void Supervisor::tell_manager(const Result<void>& told) {
    if (told || std::exchange(is_manager_deaf_, true)) return;
    log_warning("cannot tell the service manager: {}", errno_text(told.error().number));
}

// Main alone is of no use: a worker must serve, or there is a reason why none does.
void Supervisor::on_watchdog() noexcept {
    const auto interval = watchdog_interval();
    if (!interval) return;
    if (is_leaving_ || current_ == nullptr || serving() != nullptr) tell_manager(notify_alive());
    watchdog_.start(*interval);
}

ServiceStatus Supervisor::status() {
    ServiceStatus status;
    status.configuration = &current_->configuration;
    status.user = current_->user.name;
    status.started_at = started_at_;
    status.configured_at = configured_at_;
    status.generation = current_->number;
    status.restarts = restarts_;
    status.reloads = reloads_;
    status.failed_reloads = failed_reloads_;
    for (const auto& worker : workers_) {
        status.workers.push_back({worker->pid(), worker->state(), worker->generation().number,
                                  Clock::now() - worker->started_at(), worker->connections()});
    }
    return status;
}

StatisticsTotals Supervisor::totals() {
    StatisticsTotals totals = ended_;
    const WorkerProcess* const current = serving();
    for (const auto& worker : workers_)
        totals.add(worker->generation().configuration, worker->statistics(),
                   worker.get() == current ? StatisticsTotals::Of::Serving
                                           : StatisticsTotals::Of::Draining);
    return totals;
}

std::string Supervisor::metrics_text() {
    return prometheus_text(status(), totals());
}

}  // namespace proxyd::shim
