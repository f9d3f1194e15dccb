// SPDX-License-Identifier: MIT
#include "proxyd/worker_pool.h"

#include "base/daemon/end_text.h"
#include "base/daemon/log.h"

#include <errno.h>
#include <fmt/format.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace proxyd {
namespace {

using State = WorkerProcess::State;

// Different in every run.
uint32_t first_run_number() {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return static_cast<uint32_t>(now.tv_sec * 1000 + now.tv_nsec / 1'000'000);
}

bool ended_well(const WorkerProcess& worker, int status) {
    return worker.state() == State::Draining &&
           (WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGKILL);
}

}  // namespace

WorkerPool::WorkerPool(EventLoop& loop, Owner& owner)
    : loop_(loop),
      owner_(owner),
      last_run_number_(first_run_number()),
      restart_(loop, *this),
      ping_(loop, *this) {}

Result<void, std::string> WorkerPool::prepare(UniqueFd inherited_statistics) {
    Result<SourceLimits> limits = SourceLimits::create(SourceLimits::ColumnsUsual, {});
    if (inherited_statistics.is_open())
        if (auto adopted = StatisticsArea::adopt(std::move(inherited_statistics)))
            statistics_.emplace(*std::move(adopted));
    is_statistics_adopted_ = statistics_.has_value();
    Result<StatisticsArea> statistics =
        statistics_ ? Result<StatisticsArea>(*std::move(statistics_)) : StatisticsArea::create();
    if (!limits || !statistics)
        return Unexpected{
            fmt::format("cannot get memory to share with workers: {}",
                        errno_text(limits ? statistics.error().number : limits.error().number))};
    source_limits_.emplace(*std::move(limits));
    statistics_.emplace(*std::move(statistics));
    return {};
}

void WorkerPool::adopt(std::vector<InheritedWorker> workers, uint64_t generation) {
    generation_in_force_ = generation;
    for (InheritedWorker& worker : workers) {
        workers_.push_back(std::make_unique<WorkerProcess>(
            loop_, *this, std::move(worker.channel),
            WorkerProcess::Identity{
                worker.pid, worker.index, generation, std::nullopt,
                // Of an area that could not be adopted: the new one's slots are others'.
                is_statistics_adopted_ ? worker.statistics_slot : std::nullopt}));
        workers_.back()->set_state(worker.is_draining ? State::Draining : State::Serving);
    }
    reap();  // some may have ended while nobody was told
}

Result<void> WorkerPool::start(const Generation& generation) {
    starting_ = &generation;
    for (size_t index = 0; index < generation.configuration.workers; index++)
        if (auto started = start_worker(generation, index, false); !started) return started;
    return {};
}

void WorkerPool::put_in_force(const Generation& generation) {
    starting_ = nullptr;
    in_force_ = &generation;
    generation_in_force_ = generation.number;
    slots_.resize(generation.configuration.workers);
    for (const auto& worker : workers_) {
        if (is_in_force(*worker)) {
            worker->go();
            owner_.on_worker_serving(*worker);
        } else if (!worker->has_let_go()) {
            worker->drain();
        }
    }
    const auto timeout = generation.configuration.daemon.worker_timeout;
    if (timeout.count() > 0)
        ping_.start(LifeWatch::interval(timeout));
    else
        ping_.stop();
}

bool WorkerPool::have_earlier_let_go() const {
    return std::ranges::all_of(workers_, [this](const auto& worker) {
        return is_in_force(*worker) || is_starting(*worker) || worker->has_let_go();
    });
}

void WorkerPool::give_up(const Generation& generation) {
    if (starting_ == &generation) starting_ = nullptr;
    for (const auto& worker : workers_) {
        if (worker->generation() != generation.number) continue;
        worker->set_state(State::Draining);
        worker->kill();
    }
}

void WorkerPool::drain_all() {
    is_ending_ = true;
    for (const auto& worker : workers_)
        worker->drain();
    if (workers_.empty()) owner_.on_no_worker_left();
}

void WorkerPool::end_all() {
    for (const auto& worker : workers_)
        worker->end_now();
}

void WorkerPool::kill_all() {
    is_ending_ = true;
    for (const auto& worker : workers_)
        worker->kill();
}

std::optional<size_t> WorkerPool::free_source_column() const {
    for (size_t column = 0; column < SourceLimits::ColumnsUsual; column++)
        if (std::ranges::none_of(workers_, [&](const auto& worker) {
                return worker->identity().source_column == column;
            }))
            return column;
    return std::nullopt;
}

Result<void> WorkerPool::start_worker(const Generation& generation, size_t index,
                                      bool is_replacement) {
    const std::optional<size_t> column = free_source_column();
    const std::optional<size_t> slot = statistics_->take_slot();
    if (!column || !slot) {
        if (slot) statistics_->retire_slot(*slot);
        return Unexpected{Errno{EAGAIN}};
    }
    source_limits_->set_maxima({generation.configuration.source_sessions_max,
                                generation.configuration.source_connections_per_second_max});
    const WorkerSetup setup{.generation = generation,
                            .index = index,
                            .run_number = ++last_run_number_,
                            .source_limits = *source_limits_,
                            .source_column = *column,
                            .statistics = *statistics_,
                            .statistics_slot = *slot,
                            .is_replacement = is_replacement};
    auto worker = WorkerProcess::start(loop_, *this, setup);
    if (!worker) {
        statistics_->retire_slot(*slot);
        return Unexpected{worker.error()};
    }
    workers_.push_back(*std::move(worker));
    return {};
}

bool WorkerPool::is_starting(const WorkerProcess& worker) const {
    return starting_ != nullptr && worker.generation() == starting_->number;
}

bool WorkerPool::is_in_force(const WorkerProcess& worker) const {
    return worker.generation() == generation_in_force_;
}

WorkerProcess* WorkerPool::serving(size_t index) const {
    const auto found = std::ranges::find_if(workers_, [&](const auto& worker) {
        return is_in_force(*worker) && worker->index() == index &&
               worker->state() != State::Draining;
    });
    return found == workers_.end() ? nullptr : found->get();
}

WorkerProcess* WorkerPool::worker_of(const Channel& channel) const {
    const auto found = std::ranges::find_if(
        workers_, [&](const auto& worker) { return &worker->channel() == &channel; });
    return found == workers_.end() ? nullptr : found->get();
}

void WorkerPool::replace_missing() {
    if (is_ending_ || in_force_ == nullptr) return;
    const Clock::time_point now = Clock::now();
    std::optional<Clock::time_point> next_start;
    for (size_t index = 0; index < slots_.size(); index++) {
        Slot& slot = slots_[index];
        if (serving(index) != nullptr) continue;
        if (slot.next_start <= now) {
            const Result<void> started = start_worker(*in_force_, index, true);
            if (started) {
                restart_count_++;
                continue;
            }
            log_error("cannot start worker {}: {}", index, errno_text(started.error().number));
            slot.next_start = now + slot.backoff.next(Clock::duration::zero());
        }
        next_start = std::min(next_start.value_or(slot.next_start), slot.next_start);
    }
    if (next_start) restart_.start(*next_start - now);
}

void WorkerPool::reap() {
    std::vector<std::pair<WorkerProcess*, int>> ended;
    for (const auto& worker : workers_) {
        int status;
        if (waitpid(worker->pid(), &status, WNOHANG) == worker->pid())
            ended.emplace_back(worker.get(), status);
    }
    for (const auto& [worker, status] : ended)
        worker->channel().receive_now();
    for (const auto& [worker, status] : ended) {
        const auto place =
            std::ranges::find(workers_, worker, &std::unique_ptr<WorkerProcess>::get);
        const std::unique_ptr<WorkerProcess> owned = std::move(*place);
        workers_.erase(place);
        const WorkerProcess::Identity& identity = owned->identity();
        if (identity.source_column) source_limits_->forget_worker(*identity.source_column);
        if (identity.statistics_slot) statistics_->retire_slot(*identity.statistics_slot);
        owner_.on_worker_ended(*owned);
        on_end(*owned, status);
    }
    if (!ended.empty() && have_earlier_let_go()) owner_.on_earlier_let_go();
    if (workers_.empty()) owner_.on_no_worker_left();
}

void WorkerPool::on_end(WorkerProcess& worker, int status) {
    if (is_starting(worker)) {
        if (is_ending_) return;
        owner_.on_generation_failed(fmt::format("worker {} (process {}) {} before it was ready",
                                                worker.index(), worker.pid(), end_text(status)));
        return;
    }
    if (ended_well(worker, status)) return;
    const std::string how =
        fmt::format("worker {} (process {}) {}", worker.index(), worker.pid(), end_text(status));
    log_error("{}", how);
    if (is_ending_ || in_force_ == nullptr || !is_in_force(worker) ||
        worker.state() == State::Draining || worker.index() >= slots_.size())
        return;
    owner_.on_worker_lost(worker, how);
    Slot& slot = slots_[worker.index()];
    const Clock::time_point now = Clock::now();
    slot.next_start = now + slot.backoff.next(now - worker.started_at());
    replace_missing();
}

// Those that drain, too: main's own end waits for them.
void WorkerPool::on_ping() noexcept {
    const auto timeout = in_force_->configuration.daemon.worker_timeout;
    for (const auto& worker : workers_) {
        if (worker->state() != State::Serving && worker->state() != State::Draining) continue;
        const LifeWatch::State life = worker->life().ask();
        if (life == LifeWatch::State::Alive) continue;
        if (life == LifeWatch::State::HasHung)
            log_error("worker {} (process {}) has not answered for {} ms and is killed",
                      worker->index(), worker->pid(), timeout.count());
        worker->kill();
    }
    ping_.start(LifeWatch::interval(timeout));
}

void WorkerPool::on_ready(WorkerProcess& worker) {
    if (worker.state() != State::Starting) return;
    worker.set_state(State::Ready);
    if (is_in_force(worker)) {
        worker.go();
        owner_.on_worker_serving(worker);
        return;
    }
    if (!is_starting(worker)) return;
    const auto ready = std::ranges::count_if(workers_, [&](const auto& other) {
        return is_starting(*other) && other->state() == State::Ready;
    });
    if (ready == static_cast<ptrdiff_t>(starting_->configuration.workers))
        owner_.on_generation_ready();
}

// It has ended, or it has said what no worker says: then it is one no longer.
void WorkerPool::on_channel_end(Channel& channel) {
    if (WorkerProcess* const worker = worker_of(channel)) worker->kill();
}

void WorkerPool::on_message(Channel& channel, const nlohmann::json& message, UniqueFd) {
    WorkerProcess* const worker = worker_of(channel);
    if (worker == nullptr) return;
    const auto is = message.find("is");
    const std::string what = is != message.end() && is->is_string() ? is->get<std::string>() : "";
    if (what == "ready") {
        on_ready(*worker);
    } else if (what == "failed") {
        const auto why = message.find("why");
        const std::string text =
            why != message.end() && why->is_string() ? why->get<std::string>() : "?";
        if (is_starting(*worker))
            owner_.on_generation_failed(text);
        else if (is_in_force(*worker))  // and not one more of those that can't start
            log_error("worker {} (process {}): {}", worker->index(), worker->pid(), text);
    } else if (what == "draining") {
        worker->set_has_let_go();
        if (worker->state() != State::Draining) {
            worker->set_state(State::Draining);
            replace_missing();
        }
        if (have_earlier_let_go()) owner_.on_earlier_let_go();
    } else if (what == "pong") {
        worker->life().on_answer();
    } else if (what == "ended") {
        const auto wakeups = message.find("wakeups");
        if (wakeups != message.end() && wakeups->is_number_unsigned())
            wakeups_of_ended_ += wakeups->get<uint64_t>();
    } else {
        owner_.on_worker_message(*worker, message);
    }
}

}  // namespace proxyd
