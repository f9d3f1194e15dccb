// SPDX-License-Identifier: MIT
#include "proxyd/supervisor.h"

#include "base/daemon/log.h"
#include "proxyd/access_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace proxyd {
namespace {

enum ExitCode { Fine = 0, SystemRefused = 1, WrongUse = 2 };  // as main has them

constexpr auto StartTimeMax = std::chrono::seconds(60);
constexpr int PingsMax = 3;

using State = WorkerProcess::State;

std::string end_text(int status) {
    if (WIFSIGNALED(status))
        return fmt::format(
            "was ended by SIG{}{}", sigabbrev_np(WTERMSIG(status)),
            WTERMSIG(status) == SIGSYS ? ", a system call that no worker needs" : "");
    return fmt::format("ended with exit code {}", WEXITSTATUS(status));
}

uint32_t first_run_number() {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return static_cast<uint32_t>(now.tv_sec * 1000 + now.tv_nsec / 1'000'000);
}

UniqueFd duplicate(BorrowedFd fd) {
    return UniqueFd::adopt(fcntl(fd.number(), F_DUPFD_CLOEXEC, 3));
}

}  // namespace

Supervisor::Supervisor(std::string configuration_file, Program program)
    : configuration_file_(std::move(configuration_file)),
      program_(std::move(program)),
      last_run_number_(first_run_number()),
      task_late_(loop_, *this),
      restart_(loop_, *this),
      ping_(loop_, *this),
      terminate_(loop_, *this, SIGTERM),
      interrupt_(loop_, *this, SIGINT),
      hangup_(loop_, *this, SIGHUP),
      user_signal_1_(loop_, *this, SIGUSR1),
      user_signal_2_(loop_, *this, SIGUSR2),
      child_(loop_, *this, SIGCHLD) {}

Result<void, std::string> Supervisor::prepare() {
    Result<SourceLimits> limits = SourceLimits::create(SourceLimits::ColumnsUsual, {});
    if (!limits)
        return Unexpected{fmt::format("cannot get memory to share with workers: {}",
                                      errno_text(limits.error().number))};
    source_limits_ = *std::move(limits);
    return {};
}

int Supervisor::run(std::optional<InheritedState> inherited) {
    let_signals_in();
    if (inherited) {
        is_trial_ = inherited->is_trial;
        adopt(*inherited);
        begin(Task::Upgrade, std::move(inherited->configuration_text));
    } else {
        begin(Task::Start, read_configuration_text(configuration_file_));
    }
    if (task_ == Task::None && current_ == nullptr) return exit_code_;
    loop_.run();
    if (current_ != nullptr && !is_trial_) log_summary();
    return exit_code_;
}

// Until the workers of our own are ready, those of the program before us go on: they are a
// generation without a configuration, of which none is replaced.
void Supervisor::adopt(InheritedState& inherited) {
    current_ = std::make_unique<Generation>();
    current_->number = last_generation_ = inherited.generation;
    current_->addresses = std::move(inherited.addresses);
    current_->text = inherited.configuration_text;
    last_run_number_ = inherited.run_number;
    for (InheritedWorker& worker : inherited.workers) {
        workers_.push_back(std::make_unique<WorkerProcess>(loop_, *this, std::move(worker.channel),
                                                           worker.pid, worker.index,
                                                           current_->number, std::nullopt));
        workers_.back()->set_state(State::Serving);
    }
    on_child();  // some may have ended while nobody was told
}

void Supervisor::reload(Done done) {
    if (task_ != Task::None) {
        reload_next_.push_back(std::move(done));
        return;
    }
    task_done_.push_back(std::move(done));
    begin(Task::Reload, read_configuration_text(configuration_file_));
}

void Supervisor::begin(Task task, Result<std::string, Problems> text) {
    task_ = task;
    exit_code_ = SystemRefused;
    if (!text) return give_next_up(text.error());
    auto configuration = parse_configuration(*text, configuration_file_);
    if (!configuration) {
        exit_code_ = WrongUse;
        return give_next_up(configuration.error());
    }
    auto next = prepare_generation(++last_generation_, *std::move(text), *std::move(configuration),
                                   current_ ? current_->addresses : ListeningAddresses{});
    if (!next) return give_next_up(next.error());
    next_ = *std::move(next);
    task_late_.start(StartTimeMax);
    for (size_t index = 0; index < next_->configuration.workers; index++)
        if (!start_worker(*next_, index, false))
            return give_next_up({fmt::format("cannot start a worker: {}", errno_text(errno))});
}

void Supervisor::start_next_if_ready(WorkerProcess& worker) {
    worker.set_state(State::Ready);
    if (next_ == nullptr || worker.generation() != next_->number) {
        if (current_ && worker.generation() == current_->number) worker.go();
        return;
    }
    const auto is_ready = [&](const auto& other) {
        return other->generation() == next_->number && other->state() == State::Ready;
    };
    if (std::ranges::count_if(workers_, is_ready) ==
        static_cast<ptrdiff_t>(next_->configuration.workers))
        put_next_in_force();
}

void Supervisor::put_next_in_force() {
    if (is_trial_) {
        for (const auto& worker : workers_)
            worker->kill();
        exit_code_ = Fine;
        loop_.stop();
        return;
    }
    const auto is_new = [&](const ListeningAddress& listening) { return !listening.is_listening; };
    std::vector<SocketAddress> new_addresses;
    for (const ListeningAddress& listening : next_->addresses)
        if (is_new(listening)) new_addresses.push_back(listening.address);
    if (const auto listening = start_listening(next_->configuration, next_->addresses); !listening)
        return give_next_up({listening.error()});

    current_ = std::move(next_);
    slots_.resize(current_->configuration.workers);
    for (const auto& worker : workers_) {
        if (worker->generation() == current_->number)
            worker->go();
        else if (worker->state() != State::Draining)
            worker->drain();
    }
    for (const std::string& warning : warnings_of_missing_sites(current_->configuration))
        log_warning("{}", warning);
    for (const SocketAddress& address : new_addresses) {
        SocketAddress::Text text;
        log_notice("listening on {}", address.format(text));
    }
    if (current_->configuration.worker_timeout.count() > 0)
        ping_.start(current_->configuration.worker_timeout / PingsMax);
    else
        ping_.stop();
    finish_task({});
}

// Everything stays as it is; or ends, if there is nothing yet.
void Supervisor::give_next_up(Problems problems) {
    if (next_ != nullptr) {
        for (const auto& worker : workers_) {
            if (worker->generation() != next_->number) continue;
            worker->set_state(State::Draining);
            worker->kill();
        }
        next_.reset();
    }
    finish_task(problems);
}

void Supervisor::finish_task(const Problems& problems) {
    task_late_.stop();
    const Task task = std::exchange(task_, Task::None);
    const bool has_failed = !problems.empty();
    if (task == Task::Start || is_trial_) {
        for (const std::string& problem : problems)
            fmt::print(stderr, "{}\n", problem);
        if (has_failed) {
            current_.reset();
            loop_.stop();
            return;
        }
        exit_code_ = Fine;
        log_notice("ready: version {}, process {}, workers {}", PROXYD_VERSION, getpid(),
                   current_->configuration.workers);
    } else {
        exit_code_ = Fine;
        const std::string_view what = task == Task::Reload ? "reload" : "upgrade";
        for (const std::string& problem : problems)
            log_error("{}", problem);
        if (has_failed)
            log_error("{} failed, everything goes on as before", what);
        else if (task == Task::Reload)
            log_notice("reloaded: {}", current_->configuration.file);
        else
            log_notice("upgraded: version {}, process {}, workers {}", PROXYD_VERSION, getpid(),
                       current_->configuration.workers);
    }
    for (const Done& done : std::exchange(task_done_, {}))
        if (done) done(problems);
    if (stop_requests_ > 0) return;
    if (!upgrade_next_.empty()) {
        for (Done& done : std::exchange(upgrade_next_, {}))
            upgrade(std::move(done));
    } else if (!reload_next_.empty()) {
        task_done_ = std::exchange(reload_next_, {});
        begin(Task::Reload, read_configuration_text(configuration_file_));
    }
}

void Supervisor::on_task_late() noexcept {
    if (trial_) {
        kill(trial_->pid, SIGKILL);
        return;
    }
    give_next_up({fmt::format("the new workers were not ready in {} s", StartTimeMax.count())});
}

void Supervisor::upgrade(Done done) {
    if (task_ != Task::None) {
        upgrade_next_.push_back(std::move(done));
        return;
    }
    task_ = Task::Upgrade;
    task_done_.push_back(std::move(done));
    Result<std::string, Problems> text = read_configuration_text(configuration_file_);
    if (!text) return finish_task(text.error());
    current_->text = *std::move(text);  // the trial and the new program are to read the same
    Result<Trial> trial = start_trial(program_, state_to_pass());
    if (!trial)
        return finish_task(
            {fmt::format("cannot try {}: {}", program_.path, errno_text(trial.error().number))});
    trial_ = *std::move(trial);
    task_late_.start(StartTimeMax);
}

void Supervisor::on_trial_end(int status) {
    const Trial trial = *std::exchange(trial_, std::nullopt);
    task_late_.stop();
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return become_the_new_program();
    Problems problems = trial.lines();
    problems.push_back(fmt::format("the trial of {} {}", program_.path, end_text(status)));
    finish_task(problems);
}

void Supervisor::become_the_new_program() {
    log_notice("upgrade: the trial of {} succeeded", program_.path);
    const Errno why = become(program_, state_to_pass());
    finish_task({fmt::format("cannot execute {}: {}", program_.path, errno_text(why.number))});
}

StateToPass Supervisor::state_to_pass() const {
    StateToPass state{current_->text, current_->addresses, {}, last_generation_, last_run_number_};
    for (const auto& worker : workers_)
        state.workers.push_back({worker->pid(), worker->index(), worker->channel().socket()});
    return state;
}

std::optional<size_t> Supervisor::free_column() const {
    for (size_t column = 0; column < SourceLimits::ColumnsUsual; column++)
        if (std::ranges::none_of(
                workers_, [&](const auto& worker) { return worker->source_column() == column; }))
            return column;
    return std::nullopt;
}

bool Supervisor::start_worker(const Generation& generation, size_t index, bool is_replacement) {
    const std::optional<size_t> column = free_column();
    if (!column) {
        errno = EAGAIN;
        return false;
    }
    source_limits_->set_maxima({generation.configuration.source_sessions_max,
                                generation.configuration.source_connections_per_second_max});
    const WorkerSetup setup{.configuration = generation.configuration,
                            .addresses = generation.addresses,
                            .user = generation.user,
                            .access_log = generation.access_log,
                            .index = index,
                            .run_number = ++last_run_number_,
                            .source_limits = *source_limits_,
                            .source_column = *column,
                            .is_replacement = is_replacement};
    auto worker = WorkerProcess::start(loop_, *this, setup, generation.number);
    if (!worker) {
        errno = worker.error().number;
        return false;
    }
    workers_.push_back(*std::move(worker));
    return true;
}

WorkerProcess* Supervisor::serving(size_t index) const {
    const auto found = std::ranges::find_if(workers_, [&](const auto& worker) {
        return worker->generation() == current_->number && worker->index() == index &&
               worker->state() != State::Draining;
    });
    return found == workers_.end() ? nullptr : found->get();
}

void Supervisor::replace_missing_workers() {
    if (stop_requests_ > 0) return;
    const Clock::time_point now = Clock::now();
    std::optional<Clock::time_point> next_start;
    for (size_t index = 0; index < slots_.size(); index++) {
        Slot& slot = slots_[index];
        if (serving(index) != nullptr) continue;
        if (slot.next_start <= now && !start_worker(*current_, index, true)) {
            log_error("cannot start worker {}: {}", index, errno_text(errno));
            slot.next_start = now + slot.backoff.next(Clock::duration::zero());
        }
        if (slot.next_start > now && (!next_start || slot.next_start < *next_start))
            next_start = slot.next_start;
    }
    if (next_start) restart_.start(*next_start - now);
}

void Supervisor::on_child() noexcept {
    int status;
    if (trial_ && waitpid(trial_->pid, &status, WNOHANG) == trial_->pid) on_trial_end(status);
    std::vector<std::pair<WorkerProcess*, int>> ended;
    for (const auto& worker : workers_)
        if (waitpid(worker->pid(), &status, WNOHANG) == worker->pid())
            ended.emplace_back(worker.get(), status);
    for (const auto& [worker, end_status] : ended)
        worker->channel().receive_now();
    for (const auto& [worker, end_status] : ended) {
        if (worker->source_column()) source_limits_->forget_worker(*worker->source_column());
        const auto place =
            std::ranges::find(workers_, worker, &std::unique_ptr<WorkerProcess>::get);
        const std::unique_ptr<WorkerProcess> owned = std::move(*place);
        workers_.erase(place);
        on_worker_end(*owned, end_status);
    }
    if (stop_requests_ > 0 && workers_.empty()) loop_.stop();
}

void Supervisor::on_worker_end(WorkerProcess& worker, int status) {
    if (next_ != nullptr && worker.generation() == next_->number) {
        give_next_up({fmt::format("worker {} (process {}) {} before it was ready", worker.index(),
                                  worker.pid(), end_text(status))});
        return;
    }
    if (worker.state() == State::Draining) {
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return;
    }
    log_error("worker {} (process {}) {}", worker.index(), worker.pid(), end_text(status));
    if (current_ == nullptr || worker.generation() != current_->number ||
        worker.state() == State::Draining || worker.index() >= slots_.size())
        return;
    Slot& slot = slots_[worker.index()];
    const Clock::time_point now = Clock::now();
    slot.next_start = now + slot.backoff.next(now - worker.started_at());
    replace_missing_workers();
}

void Supervisor::on_ping() noexcept {
    for (const auto& worker : workers_) {
        if (worker->state() != State::Serving || worker->ping() < PingsMax) continue;
        log_error("worker {} (process {}) has not answered for {} ms and is killed",
                  worker->index(), worker->pid(), current_->configuration.worker_timeout.count());
        worker->kill();
    }
    ping_.start(current_->configuration.worker_timeout / PingsMax);
}

WorkerProcess* Supervisor::worker_of(const Channel& channel) const {
    const auto found = std::ranges::find_if(
        workers_, [&](const auto& worker) { return worker && &worker->channel() == &channel; });
    return found == workers_.end() ? nullptr : found->get();
}

void Supervisor::on_message(Channel& channel, const nlohmann::json& message, UniqueFd) {
    WorkerProcess* const worker = worker_of(channel);
    if (worker == nullptr) return;
    const std::string what = message.value("is", "");
    if (what == "ready") {
        start_next_if_ready(*worker);
    } else if (what == "failed") {
        const std::string why = message.value("why", "");
        if (next_ != nullptr && worker->generation() == next_->number)
            give_next_up({why});
        else
            log_error("{}", why);
    } else if (what == "draining") {
        worker->set_state(State::Draining);
        replace_missing_workers();
    } else if (what == "pong") {
        worker->on_pong();
    } else if (what == "ended") {
        const auto counts = message.value("counts", std::vector<uint64_t>());
        for (size_t i = 0; i < std::min(counts.size(), counts_.size()); i++)
            counts_[i] += counts[i];
    }
}

// The first time sessions in hand are finished; the second time they are given up; the third time
// nobody is asked any more.
void Supervisor::on_stop() noexcept {
    stop_requests_++;
    if (stop_requests_ == 1) log_notice("stopping");
    if (next_ != nullptr) give_next_up({"stopping"});
    for (const auto& worker : workers_) {
        if (stop_requests_ == 1)
            worker->drain();
        else if (stop_requests_ == 2)
            worker->end_now();
        else
            worker->kill();
    }
    if (workers_.empty()) loop_.stop();
}

void Supervisor::on_reopen() noexcept {
    if (current_ == nullptr || current_->configuration.listeners.empty()) return;
    Result<UniqueFd> log = open_access_log(current_->configuration, true);
    if (!log) {
        log_error("{}: cannot open {}: {}; the old one goes on",
                  current_->configuration.access_log_place, current_->configuration.access_log,
                  errno_text(log.error().number));
        return;
    }
    current_->access_log = *std::move(log);
    for (const auto& worker : workers_)
        worker->channel().send({{"do", "access_log"}}, duplicate(current_->access_log));
    log_notice("reopened the access log");
}

void Supervisor::log_summary() const {
    log_notice("stopped: sessions={} handed_over={} rejected={} closed={} timed_out={} wakeups={}",
               counts_[0], counts_[1], counts_[2], counts_[3], counts_[4], counts_[5]);
}

}  // namespace proxyd
