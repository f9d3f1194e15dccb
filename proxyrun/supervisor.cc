// SPDX-License-Identifier: MIT
#include "proxyrun/supervisor.h"

#include "base/daemon/service_manager.h"
#include "base/handoff/port_pair.h"
#include "proxyrun/open_ports.h"
#include "proxyrun/port_hint.h"
#include "proxyrun/site_holder.h"
#include "proxyrun/site_lock.h"

#include <errno.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace proxyd {
namespace {

using namespace std::chrono_literals;

// When the server has bound something, the rest follows soon.
constexpr Clock::duration UnboundTime = 10s;
constexpr Clock::duration HintInterval = 500ms;
constexpr unsigned HintLooks = 4;       // with ports of its own and none of ours, before we say so
constexpr unsigned HintLooksMax = 240;  // two minutes, for a server that takes long to start
constexpr Clock::duration StopInterval = 200ms;
// After SIGQUIT, for a server that means to end.
constexpr unsigned QuitLooksMax = 50;
// A server that takes longer to end may be waiting for its clients, or may not have heard.
constexpr unsigned StopLooksBeforeWord = 25;
constexpr Clock::duration NamesInterval = 1s;
constexpr Clock::duration LockPatience = 2s;
// For those whom a server leaves behind, all together.
constexpr Clock::duration EndPatience = 10s;

// What a server may take a meaning from. SIGTSTP and SIGCONT are not passed on: who stops proxyrun
// in a terminal stops the server as well.
void add_passed_on(sigset_t& set) {
    for (const int number : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, SIGTTIN,
                             SIGTTOU, SIGALRM, SIGURG})
        sigaddset(&set, number);
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
        sigaddset(&set, number);
}

constexpr const char LostText[] = "clients that were queued for the server, and are lost: {}";

template <typename... Arguments>
void say(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    fmt::print(stderr, "proxyrun: {}\n",
               fmt::format(format, std::forward<Arguments>(arguments)...));
}

std::string end_text(int status) {
    if (WIFSIGNALED(status))
        return fmt::format("was killed by signal {} ({})", WTERMSIG(status),
                           strsignal(WTERMSIG(status)));
    return fmt::format("ended with {}", WEXITSTATUS(status));
}

// As shells have it.
int exit_code_of(int status) {
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

std::string seconds_text(Clock::duration delay) {
    return fmt::format("{:.1f} s", std::chrono::duration<double>(delay).count());
}

// Without taking note of it.
bool has_ended(pid_t child) {
    siginfo_t info{};
    return waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == child;
}

}  // namespace

Supervisor::Supervisor(EventLoop& loop, KeptSockets& sockets, SupervisorSetup setup)
    : loop_(loop),
      sockets_(sockets),
      setup_(std::move(setup)),
      signal_watcher_(loop, *this),
      restart_timer_(loop, *this),
      unbound_timer_(loop, *this),
      hint_timer_(loop, *this),
      stop_timer_(loop, *this),
      names_timer_(loop, *this),
      end_timer_(loop, *this),
      left_clients_(loop, sockets.directory(), *this),
      directory_watch_(loop),
      directory_changes_(directory_watch_,
                         [this](std::string_view name) { on_directory_change(name); }) {}

int Supervisor::run() {
    if (!make_keeper()) return 1;
    setenv("PROXYD_KEEPER", keeper_->path().c_str(), 1);
    // Servers that go into the background become our children again.
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    if (!watch_signals()) {
        say("signalfd: {}", strerror(errno));
        return 1;
    }
    // Without inotify, names are looked after at each start of the server only.
    (void)directory_changes_.start(sockets_.directory());
    start();
    if (!is_finished_) loop_.run();
    left_clients_.give_up();
    if (const size_t lost = left_clients_.take_lost() + sockets_.give_up(); lost > 0)
        say(LostText, lost);
    return exit_code_;
}

bool Supervisor::make_keeper() {
    const SiteLock lock(sockets_.directory(), LockPatience);
    if (lock.is_held()) sockets_.clear_leftovers();
    auto keeper = Keeper::create(loop_, sockets_, *this);
    if (!keeper) {
        say("{}", keeper.error());
        return false;
    }
    keeper_ = std::move(*keeper);
    return true;
}

bool Supervisor::watch_signals() {
    // Whoever has started us may ignore it: then the kernel would keep ends of children to itself.
    signal(SIGCHLD, SIG_DFL);
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    add_passed_on(wanted);
    sigprocmask(SIG_BLOCK, &wanted, &mask_before_);
    signals_ = UniqueFd::adopt(signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals_.is_open()) return false;
    signal_watcher_.start(signals_);
    return true;
}

void Supervisor::start() {
    keeper_->look_after_name();
    if (sockets_.has_lost_directory() && !std::exchange(has_told_of_directory_, true))
        say("{}: this is another directory than the one that proxyrun has started with, or none, "
            "so the server's sockets aren't kept any more: start proxyrun again",
            setup_.site_directory);
    sockets_.begin_run();
    started_at_ = Clock::now();
    // Or the old one of two generations would take the place back when it crashes.
    if (has_ever_bound_) unsetenv("PROXYD_TAKEOVER");
    const auto server = start_server(setup_.command, mask_before_);
    if (!server) {
        const std::string what =
            fmt::format("{}: {}", setup_.command.program, strerror(server.error().number));
        if (has_ever_bound_) return start_again(what);
        say("{}", what);
        return end(126);
    }
    server_ = *server;
    state_ = State::Running;
    if (!has_ever_bound_) hint_timer_.start(HintInterval);
}

void Supervisor::on_bind_begins() noexcept {
    look_after_names();
}

void Supervisor::on_bind_ended(uint16_t edge_port, int error_number) noexcept {
    if (error_number == EADDRINUSE) tell_whose_place_it_is(edge_port);
    look_after_names();
    if (sockets_.has_nameless()) {
        sockets_.give_up_nameless(in_use());
        sockets_.hand_on(left_clients_);
    }
    if (!sockets_.has_bound()) return;
    told_of_.clear();
    unbound_timer_.start(UnboundTime);
    if (has_ever_bound_) return;
    has_ever_bound_ = true;
    hint_timer_.stop();
    (void)notify_ready("the server has bound its ports");
}

void Supervisor::on_unbound_time() noexcept {
    const std::set<ino_t> used = in_use();
    if (const size_t count = sockets_.give_up_unbound(used); count > 0)
        say("the server doesn't bind {} of the ports any more that it had before", count);
    for (const std::string& path : sockets_.deaf_of_service_manager(used)) {
        if (told_of_deaf_.insert(path).second)
            say("{}: nobody takes the clients who come there: the service manager holds it, and "
                "the server doesn't bind its address",
                path);
    }
    on_names_time();
}

std::set<ino_t> Supervisor::in_use() const {
    return open_among(sockets_.inodes(), descendants_of(getpid()));
}

// Nobody else would: bind(2) has one word for it, and few servers have more.
void Supervisor::tell_whose_place_it_is(uint16_t edge_port) {
    std::set<uint16_t> server_ports;
    for (const std::string& text : setup_.port_pairs) {
        const auto pair = PortPair::parse(text);
        if (pair && pair->edge == edge_port) server_ports.insert(pair->server);
    }
    const std::string file_name = sockets_.foreign_file(edge_port, server_ports);
    if (file_name.empty() || !told_of_.insert(file_name).second) return;
    const std::string holder = holder_of(sockets_.directory(), file_name);
    say("{}{} is another live server's{}, so this one can't bind its port: end that one, or start "
        "this one with --takeover, or let it bind another port (--port {}=OTHER)",
        sockets_.path_prefix(), file_name, holder.empty() ? "" : ", " + holder, edge_port);
}

void Supervisor::on_directory_change(std::string_view name) noexcept {
    if (keeper_ == nullptr) return;  // they leave
    keeper_->look_after_name();
    if (!name.starts_with('.')) look_after_names();
}

void Supervisor::look_after_names() {
    for (const std::string& line : sockets_.look_after_names())
        say("{}", line);
    if (sockets_.has_nameless() && !names_timer_.is_active()) names_timer_.start(NamesInterval);
}

// Whoever has taken the place over may be gone; and other receivers may be there again.
void Supervisor::on_names_time() noexcept {
    look_after_names();
    sockets_.hand_on(left_clients_);
    if (sockets_.has_nameless() || sockets_.has_left_clients()) names_timer_.start(NamesInterval);
}

void Supervisor::on_clients_settled() noexcept {
    if (state_ == State::Ending) return try_to_end();
    if (const size_t lost = left_clients_.take_lost(); lost > 0) say(LostText, lost);
    sockets_.hand_on(left_clients_);
}

void Supervisor::on_hint_time() noexcept {
    if (has_ever_bound_ || state_ != State::Running || ++hint_looks_ > HintLooksMax) return;
    const OpenPorts open = OpenPorts::of(descendants_of(getpid()), setup_.site_directory);
    if (!open.listening.empty()) looks_with_ports_++;
    if (looks_with_ports_ == HintLooks)
        return say("{}", port_hint(open.listening, setup_.port_pairs));
    hint_timer_.start(HintInterval);
}

void Supervisor::on_signal() noexcept {
    signalfd_siginfo info;
    while (read(signals_.borrow().number(), &info, sizeof(info)) == sizeof(info)) {
        // A terminal sends to the whole group of processes, the server among them.
        if (info.ssi_signo == SIGCHLD)
            reap();
        else
            take_signal(static_cast<int>(info.ssi_signo), info.ssi_code == SI_KERNEL);
    }
}

void Supervisor::take_signal(int number, bool is_from_terminal) {
    const bool says_to_end = number == SIGTERM || number == SIGINT || number == SIGQUIT;
    if (state_ == State::Ending) return says_to_end ? finish() : void();
    // A server that has gone into the background has left the terminal.
    const bool has_server_got_it = is_from_terminal && getpgid(server_) == getpgrp();
    if (state_ == State::Running && !has_server_got_it) kill(server_, number);
    // To some servers it says to end, and to others (Java) to tell what they are doing.
    if (number == SIGQUIT) was_told_to_quit_ = true;
    if (number == SIGQUIT && has_ever_bound_ && !must_stop_) {
        quit_looks_ = 0;
        stop_timer_.start(StopInterval);
    }
    if (number == SIGTERM || number == SIGINT) begin_stop();
    if (state_ == State::WaitingToStart && (must_stop_ || was_told_to_quit_)) end(exit_code_);
}

// From now on no more clients come.
void Supervisor::begin_stop() {
    if (must_stop_) return;
    must_stop_ = true;
    (void)notify_stopping("waiting for the server to end");
    sockets_.withdraw();
    stop_timer_.start(StopInterval);
}

// A server that ends gracefully closes its listeners first, and then takes its time: its neighbours
// get those who are still queued. As long as it has them open it may take them itself.
void Supervisor::on_stop_time() noexcept {
    if (in_use().empty()) {
        begin_stop();
        sockets_.hand_on(left_clients_);
    }
    if (must_stop_ && ++stop_looks_ == StopLooksBeforeWord && state_ == State::Running)
        say("the server (PID {}) goes on, though it was told to end; its sockets are out of "
            "service, so no more clients come to it: kill -KILL {} ends it at once",
            server_, server_);
    if (must_stop_ || ++quit_looks_ < QuitLooksMax) stop_timer_.start(StopInterval);
}

// A server that has gone into the background and has died at once is an orphan of ours whose end
// comes together with that of its parent.
void Supervisor::reap() {
    int status = 0;
    std::optional<int> server_status, orphan_status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        if (pid == server_ && state_ == State::Running)
            server_status = status;
        else if (exit_code_of(status) != 0)
            orphan_status = status;
    }
    if (!server_status) return;
    if (exit_code_of(*server_status) == 0 && !must_stop_ && has_gone_to_background()) return;
    const bool has_died_there = exit_code_of(*server_status) == 0 && orphan_status.has_value();
    server_ended(has_died_there ? *orphan_status : *server_status);
}

void Supervisor::server_ended(int status) {
    const bool was_told =
        must_stop_ || (was_told_to_quit_ && WIFSIGNALED(status) && WTERMSIG(status) == SIGQUIT);
    if (was_told) return end(exit_code_of(status));
    if (exit_code_of(status) == 0) return end(0);
    if (!has_ever_bound_ && !sockets_.has_bound()) {
        say("the server {} before it had bound a port, so it is not started again",
            end_text(status));
        return end(exit_code_of(status));
    }
    exit_code_ = exit_code_of(status);
    end_what_is_left();
    start_again("the server " + end_text(status));
}

bool Supervisor::has_gone_to_background() {
    for (const pid_t child : children_of(getpid())) {
        std::vector<pid_t> processes = descendants_of(child);
        processes.push_back(child);
        if (!has_ever_bound_ || has_ended(child) ||
            !open_among(sockets_.inodes(), processes).empty()) {
            server_ = child;
            return true;
        }
    }
    return false;
}

void Supervisor::start_again(const std::string& what) {
    const Clock::duration lifetime = Clock::now() - started_at_;
    const Clock::duration delay = backoff_.next(lifetime);
    restarts_++;
    say("{}; starting it again{}", what,
        delay == Clock::duration::zero() ? "" : " in " + seconds_text(delay));
    (void)notify_status(fmt::format("restarts: {}, the last since {}", restarts_, what));
    state_ = State::WaitingToStart;
    unbound_timer_.stop();
    stop_timer_.stop();
    was_told_to_quit_ = false;
    restart_timer_.start(delay);
}

void Supervisor::on_restart_time() noexcept {
    start();
}

void Supervisor::end_what_is_left() const {
    for (const pid_t child : children_of(getpid()))
        kill(child, SIGTERM);
}

void Supervisor::end(int code) {
    exit_code_ = code;
    state_ = State::Ending;
    keeper_.reset();
    restart_timer_.stop();
    stop_timer_.stop();
    hint_timer_.stop();
    unbound_timer_.stop();
    sockets_.close_down();
    end_timer_.start(EndPatience);
    try_to_end();
}

void Supervisor::try_to_end() {
    sockets_.hand_on(left_clients_);
    if (left_clients_.is_empty()) finish();
}

void Supervisor::finish() noexcept {
    is_finished_ = true;
    loop_.stop();
}

}  // namespace proxyd
