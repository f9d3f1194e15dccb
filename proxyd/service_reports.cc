// SPDX-License-Identifier: MIT
#include "proxyd/service_reports.h"

#include "base/daemon/log.h"
#include "base/daemon/service_manager.h"

#include <algorithm>
#include <utility>

namespace proxyd {

ServiceReports::ServiceReports(EventLoop& loop, const WorkerPool& workers)
    : workers_(workers), watchdog_(loop, *this) {}

void ServiceReports::begin() {
    has_begun_ = true;
    on_watchdog();
}

void ServiceReports::ready(std::string_view status) {
    if (has_begun_) tell(notify_ready(status));
}

void ServiceReports::busy(std::string_view with_what) {
    if (has_begun_) tell(notify_reloading(with_what));
}

void ServiceReports::stopping() {
    is_stopping_ = true;
    if (has_begun_) tell(notify_stopping("finishing the sessions in hand"));
}

// A manager that can't be told is no reason to end; it may find one to end us.
void ServiceReports::tell(const Result<void>& told) {
    if (told || std::exchange(is_manager_deaf_, true)) return;
    log_warning("cannot tell the service manager: {}", errno_text(told.error().number));
}

// Main alone is of no use: somebody must serve, or there is a reason why nobody does.
void ServiceReports::on_watchdog() noexcept {
    const auto interval = watchdog_interval();
    if (!interval) return;
    const bool somebody_serves = std::ranges::any_of(workers_.workers(), [](const auto& worker) {
        return worker->state() == WorkerProcess::State::Serving;
    });
    if (is_stopping_ || somebody_serves) tell(notify_alive());
    watchdog_.start(*interval);
}

}  // namespace proxyd
