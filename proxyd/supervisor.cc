// SPDX-License-Identifier: MIT
#include "proxyd/supervisor.h"

#include "base/daemon/exit_code.h"
#include "base/daemon/line_log.h"
#include "base/daemon/log.h"
#include "proxyd/descriptor_room.h"
#include "proxyd/inherited_sockets.h"
#include "proxyd/site_warnings.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

namespace proxyd {
namespace {

// How long earlier workers may take to let go of their listeners; one that hangs is not waited for.
constexpr auto SettleTimeMax = std::chrono::seconds(1);
// It starts, or replaces its worker.
constexpr auto RelayTimeMax = std::chrono::seconds(5);

UniqueFd duplicate(BorrowedFd fd) {
    return UniqueFd::adopt(fcntl(fd.number(), F_DUPFD_CLOEXEC, 3));
}

// Thousands of them would push what matters out of a log that is a pipe.
std::vector<std::string> some_of(std::vector<std::string> warnings) {
    constexpr size_t Most = 20;
    if (warnings.size() <= Most) return warnings;
    const size_t more = warnings.size() - Most;
    warnings.resize(Most);
    warnings.push_back(fmt::format("and {} more like this: see proxyd --check-config", more));
    return warnings;
}

}  // namespace

Supervisor::Supervisor(std::string configuration_file, Program program)
    : configuration_file_(std::move(configuration_file)),
      program_(std::move(program)),
      workers_(loop_, *this),
      service_(loop_, workers_),
      task_late_(loop_, *this),
      becoming_(loop_, *this),
      settled_(loop_, *this),
      terminate_(loop_, *this, SIGTERM),
      interrupt_(loop_, *this, SIGINT),
      hangup_(loop_, *this, SIGHUP),
      user_signal_1_(loop_, *this, SIGUSR1),
      user_signal_2_(loop_, *this, SIGUSR2),
      child_(loop_, *this, SIGCHLD) {}

int Supervisor::run(std::optional<InheritedState> inherited, ListeningAddresses passed) {
    let_signals_in();
    const auto prepared =
        workers_.prepare(inherited ? std::move(inherited->statistics) : UniqueFd());
    if (!prepared) {
        fmt::print(stderr, "proxyd: {}\n", prepared.error());
        return SystemRefused;
    }
    if (inherited) {
        adopt(*inherited);
        begin(Task::Upgrade, std::move(inherited->configuration_text));
    } else {
        current_ = std::make_unique<Generation>();
        current_->addresses = std::move(passed);
        service_.begin();
        begin(Task::Start, read_configuration_text(configuration_file_));
    }
    if (task_ == Task::None && current_ == nullptr) return exit_code_;
    loop_.run();
    if (!is_trial_) {
        control_.close();
    } else if (next_ != nullptr) {
        control_.give_next_up();
        remove_next_metrics_socket();
    }
    if (current_ != nullptr && !is_trial_) log_summary();
    return exit_code_;
}

void Supervisor::reload(Done done) {
    if (stop_requests_ > 0) {  // or what has been let go of would be taken anew
        if (done) done({"proxyd is stopping"});
        return;
    }
    if (task_ != Task::None) {
        reload_next_.push_back(std::move(done));
        return;
    }
    task_done_.push_back(std::move(done));
    begin(Task::Reload, read_configuration_text(configuration_file_));
}

void Supervisor::begin(Task task, Result<std::string, Problems> text) {
    task_ = task;
    if (task == Task::Reload) service_.busy("reloading");
    exit_code_ = SystemRefused;
    if (!text) return give_next_up(text.error());
    auto configuration = parse_configuration(*text, configuration_file_);
    if (!configuration) {
        exit_code_ = WrongUse;
        return give_next_up(configuration.error());
    }
    const Problems unnamed = match_inherited_sockets(current_->addresses, *configuration);
    if (!unnamed.empty()) {
        exit_code_ = WrongUse;
        return give_next_up(unnamed);
    }
    const bool is_user_unknown = !is_known_user(configuration->daemon.user);
    auto next = prepare_generation(++last_generation_, *std::move(text), *std::move(configuration),
                                   current_.get());
    if (!next) {
        if (is_user_unknown) exit_code_ = WrongUse;
        return give_next_up(next.error());
    }
    next_ = *std::move(next);
    if (task == Task::Start) set_log_level(next_->configuration.daemon.log_level);
    if (const Problems problems = control_.open_next(next_->configuration); !problems.empty())
        return give_next_up(problems);
    task_late_.start(TaskTimeMax);
    if (const auto started = workers_.start(*next_); !started)
        give_next_up(
            {fmt::format("cannot start a worker: {}", errno_text(started.error().number))});
}

void Supervisor::on_generation_ready() {
    if (is_trial_) {
        exit_code_ = Fine;
        workers_.kill_all();
        return;
    }
    put_next_in_force();
}

void Supervisor::put_next_in_force() {
    std::vector<SocketAddress> new_addresses;
    for (const ListeningAddress& listening : next_->addresses)
        if (!listening.is_listening) new_addresses.push_back(listening.address);
    if (const auto listening = start_listening(next_->configuration, next_->addresses); !listening)
        return give_next_up({listening.error()});
    if (const auto serving = serve_metrics(); !serving) return give_next_up({serving.error()});

    if (current_->configuration.daemon.metrics.text != next_->configuration.daemon.metrics.text)
        remove_metrics_socket(current_->configuration.daemon.metrics);
    const bool is_root_by_default = geteuid() == 0 && next_->configuration.daemon.user.empty();
    const bool is_same_user = current_->user.name == next_->user.name;
    current_ = std::move(next_);
    text_to_fall_back_to_.reset();
    control_.put_next_in_force(current_->configuration);
    workers_.put_in_force(*current_);
    if (const auto told = relay_.put_in_force(current_->relay); !told)
        log_error("{}: tcpshim.directory: {}", current_->configuration.file, told.error());
    set_log_level(current_->configuration.daemon.log_level);
    for (const std::string& warning : warnings())
        log_warning("{}", warning);
    if (is_root_by_default && !is_same_user) log_notice("workers run as {}", current_->user.name);
    for (const SocketAddress& address : new_addresses) {
        SocketAddress::Text text;
        log_notice("listening on {}", address.format(text));
    }
    configured_at_ = std::chrono::system_clock::now();
    task_late_.stop();
    settled_.start(relay_.is_settled() ? SettleTimeMax : RelayTimeMax);
    on_earlier_let_go();
}

// Whoever is told that it is done may rely on it: the next client meets the new configuration.
void Supervisor::on_earlier_let_go() {
    if (settled_.is_active() && workers_.have_earlier_let_go() && relay_.is_settled()) on_settled();
}

void Supervisor::on_settled() noexcept {
    settled_.stop();
    finish_task(std::exchange(upgrade_problems_, {}));
}

std::vector<std::string> Supervisor::warnings() {
    auto warnings = warnings_of_sessions(current_->configuration, descriptor_limit());
    std::ranges::move(some_of(warnings_of_sites(current_->configuration, &current_->user)),
                      std::back_inserter(warnings));
    for (const std::string& problem : relay_.problems())
        warnings.push_back("tcpshim: " + problem);
    return warnings;
}

// At the address of the next generation, if that is another one.
Result<void, std::string> Supervisor::serve_metrics() {
    const MetricsAddress& address = next_->configuration.daemon.metrics;
    if (!next_->metrics_socket.is_open()) {
        if (address.text.empty()) metrics_.reset();
        return {};
    }
    auto metrics = MetricsHttp::create(loop_, duplicate(next_->metrics_socket), *this, "proxyd");
    if (!metrics)
        return Unexpected{fmt::format("{}: cannot serve at {}: {}", address.place, address.text,
                                      errno_text(metrics.error().number))};
    metrics_ = *std::move(metrics);
    return {};
}

// Everything stays as it is; or ends, if there is nothing yet.
void Supervisor::give_next_up(Problems problems) {
    if (next_ != nullptr) {
        workers_.give_up(*next_);
        control_.give_next_up();
        remove_next_metrics_socket();
        next_.reset();
    }
    if (text_to_fall_back_to_ && stop_requests_ == 0) return fall_back(std::move(problems));
    Problems all = std::exchange(upgrade_problems_, {});
    all.insert(all.end(), problems.begin(), problems.end());
    finish_task(all);
}

void Supervisor::remove_next_metrics_socket() {
    const MetricsAddress& metrics = next_->configuration.daemon.metrics;
    if (metrics.text != current_->configuration.daemon.metrics.text) remove_metrics_socket(metrics);
}

void Supervisor::finish_task(const Problems& problems) {
    task_late_.stop();
    const Task task = std::exchange(task_, Task::None);
    if (problems.empty()) exit_code_ = Fine;
    if (!problems.empty() && (task == Task::Start || is_trial_)) {
        for (const std::string& problem : problems)
            fmt::print(stderr, "{}\n", problem);
        current_.reset();
        stop_loop();
        return;
    }
    if (task != Task::Start) exit_code_ = Fine;
    report_task(task, problems);
    if (task != Task::Start)
        control_.on_task_end(task == Task::Reload ? "reload" : "upgrade",
                             current_ ? current_->number : 0, problems);
    service_.ready(status_text(task, !problems.empty()));
    for (const Done& done : std::exchange(task_done_, {}))
        if (done) done(problems);
    if (stop_requests_ == 0) begin_next_task();
}

void Supervisor::report_task(Task task, const Problems& problems) {
    const std::string_view what = task == Task::Start    ? "ready"
                                  : task == Task::Reload ? "reload"
                                                         : "upgrade";
    Tries& tries = task == Task::Reload ? reloads_ : upgrades_;
    if (task == Task::Reload) is_last_reload_successful_ = problems.empty();
    if (!problems.empty()) {
        tries.failures++;
        for (const std::string& problem : problems)
            log_error("{}", problem);
        log_error("{} failed, everything goes on as before", what);
        return;
    }
    if (task != Task::Start) tries.successes++;
    if (task == Task::Reload)
        log_notice("reloaded: {}", current_->configuration.file);
    else
        log_notice("{}: version {}, process {}, workers {}",
                   task == Task::Start ? "ready" : "upgraded", PROXYD_VERSION, getpid(),
                   current_->configuration.workers);
}

std::string Supervisor::status_text(Task last_task, bool has_failed) const {
    return fmt::format("serving: version {}, workers {}{}", PROXYD_VERSION,
                       current_->configuration.workers,
                       !has_failed                 ? ""
                       : last_task == Task::Reload ? "; the last reload failed"
                                                   : "; the last upgrade failed");
}

void Supervisor::begin_next_task() {
    if (!reload_next_.empty()) {
        task_done_ = std::exchange(reload_next_, {});
        begin(Task::Reload, read_configuration_text(configuration_file_));
    } else if (!upgrade_next_.empty()) {
        task_done_ = std::exchange(upgrade_next_, {});
        begin_upgrade();
    }
}

void Supervisor::on_task_late() noexcept {
    if (trial_)
        kill(trial_->pid, SIGKILL);
    else
        give_next_up({fmt::format("the new workers were not ready in {} s", TaskTimeMax.count())});
}

void Supervisor::on_child() noexcept {
    int status;
    if (trial_ && waitpid(trial_->pid, &status, WNOHANG) == trial_->pid) on_trial_end(status);
    workers_.reap();
    relay_.reap();
    stop_when_all_have_ended();
}

void Supervisor::on_worker_message(WorkerProcess& worker, const nlohmann::json& message) {
    control_.on_worker_message(worker, message);
}

void Supervisor::on_worker_lost(WorkerProcess& worker, const std::string& how) {
    control_.on_worker_lost(worker, how);
}

void Supervisor::on_no_worker_left() {
    if (is_trial_) stop_loop();
    if (stop_requests_ > 0) relay_.stop();  // nobody hands clients to it any more
    stop_when_all_have_ended();
}

void Supervisor::stop_when_all_have_ended() {
    if (stop_requests_ > 0 && workers_.workers().empty() && !relay_.is_any_running()) stop_loop();
}

// The first time sessions in hand are finished; the second time they are given up; the third time
// nobody is asked any more.
void Supervisor::on_stop() noexcept {
    stop_requests_++;
    if (trial_) kill(trial_->pid, SIGKILL);
    if (next_ != nullptr) give_next_up({"stopping"});
    if (!is_trial_) exit_code_ = Fine;
    if (stop_requests_ == 1) {
        log_notice("stopping");
        service_.stopping();
        workers_.drain_all();
        // The workers take who has come already; then nobody listens any more.
        if (current_ != nullptr) current_->addresses.clear();
    } else if (stop_requests_ == 2) {
        workers_.end_all();
        relay_.end_now();
    } else {
        workers_.kill_all();
        relay_.kill();
    }
}

// Of the next generation too: it has opened its log already, and is not to go on with an old file.
void Supervisor::on_reload() noexcept {
    log_notice("reload asked for by SIGHUP");
    reload({});
}

void Supervisor::on_upgrade() noexcept {
    log_notice("upgrade asked for by SIGUSR2");
    upgrade({});
}

void Supervisor::on_reopen() noexcept {
    const bool has_current = !current_->configuration.file.empty();
    if (has_current) reopen_log_of(*current_);
    if (next_ != nullptr) reopen_log_of(*next_);
}

// Workers of earlier generations write to the log of the one in force.
void Supervisor::reopen_log_of(Generation& generation) {
    const Configuration& configuration = generation.configuration;
    Result<UniqueFd> log = open_line_log(configuration.daemon.access_log, true);
    if (!log) {
        log_error("{}: cannot open {}: {}; the old one goes on",
                  configuration.daemon.access_log_place, configuration.daemon.access_log,
                  errno_text(log.error().number));
        return;
    }
    generation.access_log = *std::move(log);
    const bool is_next = &generation == next_.get();
    for (const auto& worker : workers_.workers())
        if (is_next == (next_ != nullptr && worker->generation() == next_->number))
            worker->channel().send({{"do", "access_log"}}, duplicate(generation.access_log));
    if (!is_next) log_notice("reopened the access log");
}

}  // namespace proxyd
