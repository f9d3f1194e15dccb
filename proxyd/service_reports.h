// SPDX-License-Identifier: MIT
//
// What main tells its service manager: when it is ready, reloading, upgrading and stopping, and, if
// the manager watches it, that it is alive. Used by supervisor.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/posix/result.h"
#include "proxyd/worker_pool.h"

#include <string>
#include <string_view>

namespace proxyd {

class ServiceReports {
  public:
    ServiceReports(EventLoop& loop, const WorkerPool& workers);

    // Says nothing before: a trial never begins.
    void begin();
    void ready(std::string_view status);
    void busy(std::string_view with_what);  // ready must follow
    void stopping();

  private:
    void tell(const Result<void>& told);
    void on_watchdog() noexcept;

    const WorkerPool& workers_;
    bool has_begun_ = false;
    bool is_stopping_ = false;
    bool is_manager_deaf_ = false;
    TimerWatcher<&ServiceReports::on_watchdog> watchdog_;
};

}  // namespace proxyd
