// SPDX-License-Identifier: MIT
#include "proxyd/relay_process.h"

#include "base/daemon/end_text.h"
#include "base/daemon/log.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string_view>
#include <utility>

namespace proxyd {
namespace {

// In the directory of our own program, wherever that is, else by PATH.
std::string program_path() {
    std::error_code error;
    const auto own = std::filesystem::read_symlink("/proc/self/exe", error);
    const auto beside = own.parent_path() / "tcpshim";
    return !error && std::filesystem::exists(beside, error) ? beside.string() : "tcpshim";
}

// In one step: whoever reads it meets the whole text of before or of now.
Result<void, std::string> write_file(const std::string& path, std::string_view text) {
    const std::string temporary = path + ".new";
    const UniqueFd file = UniqueFd::adopt(
        open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
    const bool is_written = file.is_open() &&
                            write(file.borrow().number(), text.data(), text.size()) ==
                                static_cast<ssize_t>(text.size()) &&
                            rename(temporary.c_str(), path.c_str()) == 0;
    if (!is_written) return Unexpected{fmt::format("{}: {}", path, errno_text(errno))};
    return {};
}

// In the child. The service manager's variables are for main, whom it tells its `news` instead, and
// signals that main holds back would be held back for ever.
[[noreturn]] void execute(const std::string& program, const std::string& file,
                          const std::string& news, pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(1);  // it has died before it was asked to tell
    for (const char* variable : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS",
                                 "LISTEN_PID", "LISTEN_FDNAMES"})
        unsetenv(variable);
    if (!news.empty()) setenv("NOTIFY_SOCKET", news.c_str(), 1);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGHUP, SIG_IGN);  // until it can be told: it reads the file after that
    execlp(program.c_str(), "tcpshim", "--config", file.c_str(), nullptr);
    dprintf(STDERR_FILENO, "proxyd: cannot execute %s: %s\n", program.c_str(),
            strerrordesc_np(errno));
    _exit(127);
}

}  // namespace

void RelayProcess::adopt(pid_t pid, std::string directory, std::vector<pid_t> leaving) {
    pid_ = pid;
    plan_.directory = std::move(directory);  // all that is known of the plan
    leaving_ = std::move(leaving);
    is_ready_ = pid_ != 0;
}

Result<void, std::string> RelayProcess::put_in_force(const RelayPlan& plan) {
    // Where something was wrong with it that may be right now, it is tried again.
    if (plan == plan_ && (plan.is_empty() || (pid_ != 0 && problems_.empty()))) return {};
    if (!plan.is_empty()) {
        const auto written = write_file(plan.file(), plan.text);
        if (!written) return written;
    }
    const bool is_elsewhere = !plan_.is_empty() && plan.directory != plan_.directory;
    plan_ = plan;
    is_wanted_ = !plan.is_empty();
    if (pid_ != 0 && (!is_wanted_ || is_elsewhere)) retire();
    if (!is_wanted_) {
        restart_.stop();
        news_.close();
        settle({});
        return {};
    }
    listen();
    if (pid_ != 0)
        tell_of_change();
    else
        start();
    return {};
}

// It works without, but nobody hears what is wrong.
void RelayProcess::listen() {
    if (const auto listening = news_.listen(plan_.news_socket()); !listening)
        log_warning("{}: {}; what tcpshim tells isn't heard", plan_.news_socket(),
                    errno_text(listening.error().number));
}

void RelayProcess::tell_of_change() {
    awaits_news_ = !news_.path().empty();
    awaits_reloading_ = is_ready_;
    problems_.clear();
    ::kill(pid_, SIGHUP);
}

void RelayProcess::on_relay_message(pid_t sender, const RelayMessage& message) {
    if (sender != pid_ || pid_ == 0) return;
    if (message.is_reloading) awaits_reloading_ = false;
    if (message.is_ready) {
        is_ready_ = true;
        if (!awaits_reloading_) settle(message.problems);
    } else if (!message.problems.empty()) {
        settle(message.problems);
    }
}

void RelayProcess::settle(std::vector<std::string> problems) {
    const bool was_awaited = std::exchange(awaits_news_, false);
    problems_ = std::move(problems);
    if (is_ready_ && !problems_.empty())
        log_error("tcpshim has not taken over its part of the configuration and goes on as before");
    if (was_awaited) owner_.on_relay_settled();
}

// It relays what it has for as long as it takes.
void RelayProcess::retire() {
    log_notice("tcpshim, process {}, takes no more clients and finishes what it has", pid_);
    ::kill(pid_, SIGQUIT);
    leaving_.push_back(std::exchange(pid_, 0));
    problems_.clear();
}

void RelayProcess::start() noexcept {
    if (!is_wanted_ || pid_ != 0) return;
    const std::string program = program_path(), file = plan_.file();
    const pid_t parent = getpid();
    started_at_ = Clock::now();
    const pid_t pid = fork();
    if (pid == 0) execute(program, file, news_.path(), parent);
    if (pid < 0) {
        log_error("cannot start tcpshim: {}", errno_text(errno));
        restart_.start(backoff_.next({}));
        return;
    }
    pid_ = pid;
    is_ready_ = awaits_reloading_ = false;
    awaits_news_ = !news_.path().empty();
    log_notice("started {}, process {}, for the routes to TCP servers", program, pid);
}

void RelayProcess::reap() {
    int status = 0;
    std::erase_if(leaving_, [&](pid_t pid) {
        if (waitpid(pid, &status, WNOHANG) != pid) return false;
        log_notice("tcpshim, process {}, {}", pid, end_text(status));
        return true;
    });
    if (pid_ == 0 || waitpid(pid_, &status, WNOHANG) != pid_) return;
    news_.receive_now();
    pid_ = 0;
    on_end(status);
}

void RelayProcess::on_end(int status) {
    if (!is_wanted_) {
        log_notice("tcpshim {}", end_text(status));
        return settle({});
    }
    // Why it didn't start it may have told already.
    if (is_ready_ || problems_.empty()) problems_ = {"tcpshim " + end_text(status)};
    is_ready_ = false;
    restarts_++;
    const auto delay = backoff_.next(Clock::now() - started_at_);
    log_error("tcpshim {}; it is started again", end_text(status));
    settle(problems_);
    if (delay == Clock::duration::zero())
        start();
    else
        restart_.start(delay);
}

void RelayProcess::signal_all(int number) const {
    if (pid_ != 0) ::kill(pid_, number);
    for (const pid_t pid : leaving_)
        ::kill(pid, number);
}

void RelayProcess::stop() {
    is_wanted_ = false;
    restart_.stop();
    if (!std::exchange(is_stopping_, true)) signal_all(SIGTERM);
}

// The second SIGTERM means that.
void RelayProcess::end_now() {
    stop();
    signal_all(SIGTERM);
}

void RelayProcess::kill() {
    is_wanted_ = false;
    signal_all(SIGKILL);
}

}  // namespace proxyd
