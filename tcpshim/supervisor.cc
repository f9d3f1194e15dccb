// SPDX-License-Identifier: MIT
#include "tcpshim/supervisor.h"

#include "base/daemon/exit_code.h"
#include "base/daemon/line_log.h"
#include "base/daemon/log.h"
#include "base/daemon/service_manager.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace proxyd::shim {
namespace {

using State = WorkerProcess::State;

constexpr auto TaskTimeMax = std::chrono::seconds(60);
// For workers to end by themselves after drain_timeout.
constexpr auto TimeAfterDrain = std::chrono::seconds(3);

UniqueFd duplicate(BorrowedFd fd) {
    return UniqueFd::adopt(fcntl(fd.number(), F_DUPFD_CLOEXEC, 3));
}

Result<UniqueFd, std::string> open_access_log(const DaemonConfiguration& daemon) {
    Result<UniqueFd> log = open_line_log(daemon.access_log, true);
    if (log) return *std::move(log);
    return Unexpected{fmt::format("{}: cannot open {}: {}", daemon.access_log_place,
                                  daemon.access_log, errno_text(log.error().number))};
}

}  // namespace

Supervisor::Supervisor(Load load, std::vector<PassedSocket> passed)
    : load_(std::move(load)),
      passed_(std::move(passed)),
      restart_(loop_, *this),
      task_late_(loop_, *this),
      watchdog_(loop_, *this),
      ping_(loop_, *this),
      drain_over_(loop_, *this),
      terminate_(loop_, *this, SIGTERM),
      interrupt_(loop_, *this, SIGINT),
      quit_(loop_, *this, SIGQUIT),
      hangup_(loop_, *this, SIGHUP),
      user_signal_1_(loop_, *this, SIGUSR1),
      child_(loop_, *this, SIGCHLD) {}

int Supervisor::run() {
    on_watchdog();
    begin();
    if (is_busy_) loop_.run();
    control_.close();
    if (current_ == nullptr) return exit_code_;
    uint64_t accepted = 0;
    for (const auto& [name, site] : ended_.sites)
        accepted += site.accepted;
    log_notice("stopped: connections={}", accepted);
    return exit_code_;
}

void Supervisor::reload(Done done) {
    if (is_leaving_) {
        if (done) done({"tcpshim is stopping"});
        return;
    }
    if (is_busy_) {
        wants_reload_ = true;
        reload_next_.push_back(std::move(done));
        return;
    }
    done_.push_back(std::move(done));
    begin();
}

void Supervisor::begin() {
    is_busy_ = true;
    if (current_ != nullptr) tell_manager(notify_reloading("reloading"));
    auto configuration = load_();
    if (!configuration) {
        exit_code_ = configuration.error().exit_code;
        return finish(configuration.error().problems);
    }
    exit_code_ = SystemRefused;
    next_ = std::make_shared<Generation>();
    next_->number = ++last_generation_;
    next_->configuration = *std::move(configuration);
    if (current_ == nullptr) set_log_level(next_->configuration.daemon.log_level);
    if (Problems problems = prepare(*next_); !problems.empty())
        return give_up_next(std::move(problems));
    task_late_.start(TaskTimeMax);
    if (const auto started = start_worker(next_); !started) give_up_next({started.error()});
}

Problems Supervisor::prepare(Generation& next) {
    Problems problems;
    const DaemonConfiguration& daemon = next.configuration.daemon;
    auto user = find_worker_user(next.configuration);
    if (user)
        next.user = *std::move(user);
    else
        problems.push_back(user.error());
    next.sockets = OpenSiteSockets::open(
        next.configuration, current_ ? &current_->sockets : nullptr, passed_, problems);
    auto log = open_access_log(daemon);
    if (log)
        next.access_log = *std::move(log);
    else
        problems.push_back(log.error());
    const bool has_metrics = current_ != nullptr && current_->metrics_socket.is_open() &&
                             current_->configuration.daemon.metrics.text == daemon.metrics.text;
    if (has_metrics) {
        next.metrics_socket = duplicate(current_->metrics_socket);
    } else if (!daemon.metrics.text.empty()) {
        auto socket = bind_metrics_socket(daemon.metrics);
        if (socket)
            next.metrics_socket = *std::move(socket);
        else
            problems.push_back(socket.error());
    }
    for (std::string& problem : control_.open_next(daemon))
        problems.push_back(std::move(problem));
    return problems;
}

void Supervisor::put_next_in_force() {
    Problems problems;
    next_->sockets.put_in_place(problems);
    if (!problems.empty()) return give_up_next(std::move(problems));
    const auto before = std::exchange(current_, std::move(next_));
    bool has_removed = false;
    if (before != nullptr) {
        has_removed = before->sockets.remove_files(&current_->sockets);
        if (before->configuration.daemon.metrics.text !=
            current_->configuration.daemon.metrics.text)
            remove_metrics_socket(before->configuration.daemon.metrics);
    }
    control_.put_next_in_force(current_->configuration.daemon);
    serve_metrics();
    set_log_level(current_->configuration.daemon.log_level);
    for (const auto& worker : workers_) {
        if (&worker->generation() == current_.get())
            worker->go();
        else if (worker->state() != State::Draining)
            worker->drain(has_removed);
    }
    configured_at_ = std::chrono::system_clock::now();
    watch_lives();
    const bool somebody_holds_on = std::ranges::any_of(workers_, [](const auto& worker) {
        return worker->state() == State::Draining && !worker->has_let_go();
    });
    if (!somebody_holds_on) finish({});
}

void Supervisor::serve_metrics() {
    metrics_.reset();
    if (!current_->metrics_socket.is_open()) return;
    auto metrics =
        MetricsHttp::create(loop_, duplicate(current_->metrics_socket), *this, "tcpshim");
    if (metrics)
        metrics_ = *std::move(metrics);
    else
        log_error("{}: cannot serve at {}: {}", current_->configuration.daemon.metrics.place,
                  current_->configuration.daemon.metrics.text, errno_text(metrics.error().number));
}

// Everything stays as it is; or ends, if there is nothing yet.
void Supervisor::give_up_next(Problems problems) {
    const auto failed = std::move(next_);
    for (const auto& worker : workers_)
        if (&worker->generation() == failed.get()) worker->kill();
    failed->sockets.remove_files(current_ ? &current_->sockets : nullptr);
    const MetricsAddress& metrics = failed->configuration.daemon.metrics;
    if (failed->metrics_socket.is_open() &&
        (current_ == nullptr || current_->configuration.daemon.metrics.text != metrics.text))
        remove_metrics_socket(metrics);
    control_.give_next_up();
    finish(problems);
}

void Supervisor::finish(const Problems& problems) {
    task_late_.stop();
    is_busy_ = false;
    if (current_ == nullptr) {
        for (const std::string& problem : problems)
            fmt::print(stderr, "{}\n", problem);
        tell_manager(notify_failure(problems));
        return loop_.stop();
    }
    exit_code_ = Fine;
    const bool is_start = current_->number == 1 && problems.empty();
    const std::string what =
        fmt::format("sites={} sockets={} generation={}", current_->configuration.sites.size(),
                    current_->sockets.size(), current_->number);
    if (!problems.empty()) {
        failed_reloads_++;
        for (const std::string& problem : problems)
            log_error("{}", problem);
        log_error("reload failed, everything goes on as before");
    } else if (is_start) {
        log_notice("ready: {}", what);
    } else {
        reloads_++;
        log_notice("reloaded: {}", what);
    }
    tell_manager(
        notify_ready(problems.empty() ? what : "the last reload failed; " + what, problems));
    for (const Done& done : std::exchange(done_, {}))
        if (done) done(problems);
    if (!std::exchange(wants_reload_, false)) return;
    for (Done& done : std::exchange(reload_next_, {}))
        done_.push_back(std::move(done));
    if (!is_leaving_) begin();
}

void Supervisor::on_task_late() noexcept {
    if (next_ != nullptr)
        give_up_next({fmt::format("the new worker was not ready in {} s", TaskTimeMax.count())});
    else
        finish({});  // an old worker that hangs is not waited for
}

void Supervisor::leave(std::string_view state) {
    is_leaving_ = true;
    exit_code_ = Fine;
    if (next_ != nullptr) give_up_next({"stopping"});
    log_notice("stopping");
    tell_manager(notify_stopping(state));
    restart_.stop();
    // There may be a successor before the last relay has gone: it gets all that only one can have.
    control_.close();
    if (current_ != nullptr) {
        current_->sockets.remove_files(nullptr);
        metrics_.reset();
        remove_metrics_socket(current_->configuration.daemon.metrics);
        current_->metrics_socket.close();
    }
    for (const auto& worker : workers_)
        if (worker->state() != State::Draining) worker->drain(true);
    if (workers_.empty()) loop_.stop();
}

// The first time what is relayed may go on for a while; the second time it is cut off.
void Supervisor::on_stop() noexcept {
    if (!is_leaving_) leave("relaying what is left");
    if (++stop_requests_ > 1) {
        for (const auto& worker : workers_)
            worker->kill();
        return;
    }
    Clock::duration drain_timeout = Clock::duration::zero();
    for (const auto& worker : workers_) {
        worker->limit_drain();
        drain_timeout = std::max<Clock::duration>(drain_timeout,
                                                  worker->generation().configuration.drain_timeout);
    }
    drain_over_.start(drain_timeout + TimeAfterDrain);
}

void Supervisor::on_quit() noexcept {
    if (!is_leaving_) leave("relaying what is left, for as long as it takes");
}

void Supervisor::on_hangup() noexcept {
    log_notice("reload asked for by SIGHUP");
    reload({});
}

void Supervisor::on_reopen() noexcept {
    if (current_ == nullptr) return;
    auto log = open_access_log(current_->configuration.daemon);
    if (!log) return log_error("{}; the old one goes on", log.error());
    current_->access_log = *std::move(log);
    for (const auto& worker : workers_)
        worker->channel().send({{"do", "access_log"}}, duplicate(current_->access_log));
    log_notice("reopened the access log");
}

void Supervisor::set_level(LogLevel level) {
    set_log_level(level);
    for (const auto& worker : workers_)
        worker->channel().send({{"do", "log_level"}, {"level", log_level_word(level)}});
}

}  // namespace proxyd::shim
