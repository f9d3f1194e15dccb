// SPDX-License-Identifier: MIT
//
// The supervisor's workers: they are started, say how they are, end, and are replaced.
#include "base/daemon/end_text.h"
#include "base/daemon/log.h"
#include "tcpshim/supervisor.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace proxyd::shim {
namespace {

using State = WorkerProcess::State;

}  // namespace

Result<void, std::string> Supervisor::start_worker(const std::shared_ptr<Generation>& generation) {
    std::vector<Elsewhere::Worker> others;
    for (const auto& worker : workers_)
        others.push_back({&worker->generation().configuration, &worker->statistics()});
    auto worker = WorkerProcess::start(loop_, *this, generation, Elsewhere(std::move(others)));
    if (!worker)
        return Unexpected{
            fmt::format("cannot start a worker: {}", errno_text(worker.error().number))};
    workers_.push_back(*std::move(worker));
    return {};
}

WorkerProcess* Supervisor::worker_of(const Channel& channel) const {
    const auto found = std::ranges::find_if(
        workers_, [&](const auto& worker) { return &worker->channel() == &channel; });
    return found == workers_.end() ? nullptr : found->get();
}

// Or about to.
WorkerProcess* Supervisor::serving() const {
    const auto found = std::ranges::find_if(workers_, [&](const auto& worker) {
        return &worker->generation() == current_.get() && worker->state() != State::Draining;
    });
    return found == workers_.end() ? nullptr : found->get();
}

void Supervisor::on_message(Channel& channel, const nlohmann::json& message, UniqueFd) {
    WorkerProcess* const worker = worker_of(channel);
    const auto is = message.find("is");
    if (worker == nullptr || is == message.end() || !is->is_string()) return;
    if (*is == "ready" && worker->state() == State::Starting) {
        if (next_ != nullptr && &worker->generation() == next_.get())
            put_next_in_force();
        else if (&worker->generation() == current_.get())
            worker->go();
    } else if (*is == "failed") {
        const auto why = message.find("why");
        const std::string text =
            why != message.end() && why->is_string() ? why->get<std::string>() : "?";
        if (next_ != nullptr && &worker->generation() == next_.get())
            give_up_next({text});
        else
            log_error("worker (process {}): {}", worker->pid(), text);
    } else if (*is == "pong") {
        worker->life().on_answer();
    } else if (*is == "draining") {
        worker->set_has_let_go();
        const bool is_last = std::ranges::none_of(workers_, [](const auto& each) {
            return each->state() == State::Draining && !each->has_let_go();
        });
        if (is_busy_ && next_ == nullptr && is_last) finish({});
    }
}

// It has ended, or it has said what no worker says: then it is one no longer.
void Supervisor::on_channel_end(Channel& channel) {
    if (WorkerProcess* const worker = worker_of(channel); worker && !worker->has_let_go())
        worker->kill();
}

// What one has still said may start a reload, and that a worker: so nothing here lasts but numbers.
// A process keeps its number until it is waited for.
void Supervisor::on_child() noexcept {
    std::vector<pid_t> ended;
    for (const auto& worker : workers_) {
        siginfo_t info{};
        const int waited =
            waitid(P_PID, static_cast<id_t>(worker->pid()), &info, WEXITED | WNOHANG | WNOWAIT);
        if (waited == 0 && info.si_pid == worker->pid()) ended.push_back(worker->pid());
    }
    const auto place_of = [this](pid_t pid) {
        return std::ranges::find_if(workers_,
                                    [pid](const auto& worker) { return worker->pid() == pid; });
    };
    for (const pid_t pid : ended) {
        (*place_of(pid))->channel().receive_now();
        const auto place = place_of(pid);
        std::unique_ptr<WorkerProcess> worker = std::move(*place);
        workers_.erase(place);
        int status = 0;
        waitpid(pid, &status, 0);
        on_worker_end(std::move(worker), status);
    }
    if (workers_.empty() && is_leaving_) loop_.stop();
}

void Supervisor::on_worker_end(std::unique_ptr<WorkerProcess> worker, int status) {
    ended_.add(worker->generation().configuration, worker->statistics(),
               StatisticsTotals::Of::Ended);
    const uint64_t cut_off = worker->connections();
    worker->statistics().clear_active();  // its successor looks at it
    const bool was_next = next_ != nullptr && &worker->generation() == next_.get();
    const bool is_fine =
        worker->state() == State::Draining &&
        (WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGKILL);
    const std::string how = fmt::format("worker (process {}) {}", worker->pid(), end_text(status));
    if (was_next) return give_up_next({how + " before it was ready"});
    if (!is_fine)
        log_error("{}{}", how,
                  cut_off > 0 ? fmt::format("; connections cut off: {}", cut_off) : "");
    if (worker->state() == State::Draining) {
        if (is_busy_ && next_ == nullptr && !worker->has_let_go()) finish({});
        return;
    }
    if (&worker->generation() != current_.get() || is_leaving_) return;
    restart_.start(backoff_.next(Clock::now() - worker->started_at()));
}

// What was queued for the one that has died waits in the sockets meanwhile.
void Supervisor::replace_worker() noexcept {
    if (is_leaving_ || serving() != nullptr) return;
    // The one before has taken nothing from main: what it had was its own copy.
    const auto started = start_worker(current_);
    if (started) {
        restarts_++;
        return;
    }
    log_error("{}", started.error());
    restart_.start(backoff_.next(Clock::duration::zero()));
}

void Supervisor::watch_lives() {
    const auto timeout = current_->configuration.daemon.worker_timeout;
    if (timeout.count() > 0)
        ping_.start(LifeWatch::interval(timeout));
    else
        ping_.stop();
}

// Those that drain, too: main's own end waits for them. What a hung worker relays is lost anyway.
void Supervisor::on_ping() noexcept {
    for (const auto& worker : workers_) {
        const LifeWatch::State life = worker->life().ask();
        if (life == LifeWatch::State::Alive) continue;
        if (life == LifeWatch::State::HasHung)
            log_error("worker (process {}) has not answered for {} ms and is killed", worker->pid(),
                      current_->configuration.daemon.worker_timeout.count());
        worker->kill();
    }
    watch_lives();
}

// They were told to end by themselves; one that can't is not waited for.
void Supervisor::on_drain_over() noexcept {
    for (const auto& worker : workers_) {
        log_error("worker (process {}) has not ended in time and is killed", worker->pid());
        worker->kill();
    }
}

}  // namespace proxyd::shim
