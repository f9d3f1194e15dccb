// SPDX-License-Identifier: MIT
//
// The worker's side of worker_process.h. The process is a copy of main: of what main had open only
// the worker's share stays, and none of main's objects is used or destroyed any more.
#include "base/daemon/confinement/shared_descriptors.h"
#include "base/daemon/log.h"
#include "proxyd/sandbox.h"
#include "proxyd/session_events.h"
#include "proxyd/worker.h"
#include "proxyd/worker_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <new>
#include <nlohmann/json.hpp>

namespace proxyd {
namespace {

// Events that main has not taken yet; beyond it they are lost.
constexpr size_t EventBytesMax = 256 * 1024;

constexpr size_t MemoryToSaySo = 32 * 1024;

// libev's own signal handling belongs to main's loop still.
UniqueFd make_terminate_signal() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    return UniqueFd::adopt(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
}

std::unique_ptr<char[]> memory_to_say_so;

// Nothing can be caught where memory is short, so the worker ends, and is replaced: say why.
[[noreturn]] void on_fatal_exception() {
    try {
        if (const auto exception = std::current_exception()) std::rethrow_exception(exception);
    } catch (const std::bad_alloc&) {
        memory_to_say_so.reset();
        log_error("out of memory: this worker ends");
    } catch (const std::exception& exception) {
        log_error("unexpected: {}", exception.what());
    }
    abort();
}

// Owns the worker, and does what main says.
class WorkerMain final : public Channel::Owner,
                         public WorkerReports::Sink,
                         public SessionEvents::Sink {
  public:
    WorkerMain(const WorkerSetup& setup, ProcessStatistics& statistics, UniqueFd channel,
               AccessLog access_log, std::vector<ListeningSocket> sockets)
        : setup_(setup),
          sockets_(std::move(sockets)),
          worker_(loop_, setup.generation.configuration,
                  {setup.generation.routes, std::move(access_log), setup.run_number,
                   setup.source_limits, setup.source_column, statistics}),
          channel_(loop_, std::move(channel), *this),
          reports_(worker_.report_subjects(), *this),
          terminate_signal_(make_terminate_signal()),
          terminate_(loop_, *this) {
        if (terminate_signal_.is_open()) terminate_.start(terminate_signal_);
    }

    void run() {
        if (const auto prepared = prepare(); !prepared) {
            channel_.send({{"is", "failed"}, {"why", prepared.error()}});
            return;
        }
        channel_.send({{"is", "ready"}});
        loop_.run();
        worker_.flush_log();
        channel_.send({{"is", "ended"}, {"wakeups", loop_.wakeups()}});
    }

  private:
    Result<void, std::string> prepare() {
        if (const auto dropped = drop_privileges(setup_.generation.user); !dropped) return dropped;
        const time_t now = 0;
        tm ignored;
        gmtime_r(&now, &ignored);  // reads the time zone's file, once
        const auto prepared = worker_.prepare(setup_.is_replacement, setup_.generation.user.name);
        if (!prepared) return prepared;
        std::vector<int> listening;
        for (const ListeningSocket& socket : sockets_)
            listening.push_back(socket.socket.borrow().number());
        return enter_sandbox(listening);
    }

    void on_message(Channel&, const nlohmann::json& message, UniqueFd descriptor) override {
        const std::string what = message.value("do", "");
        if (what == "go")
            worker_.start(std::move(sockets_));
        else if (what == "drain")
            on_drain();
        else if (what == "end_now")
            worker_.end_now();
        else if (what == "ping")
            channel_.send({{"is", "pong"}});
        else if (what == "access_log")
            worker_.replace_access_log(std::move(descriptor));
        else if (what == "report")
            on_report(message);
        else if (what == "events")
            worker_.follow_sessions(message.value("on", false) ? &events_ : nullptr);
        else if (what == "log_level")
            set_log_level(log_level_of(message.value("level", "")).value_or(log_level()));
    }

    void on_report(const nlohmann::json& message) {
        if (message.value("what", "") != "events") return reports_.report(message);
        worker_.follow_sessions(&events_);
        channel_.send({{"report", message.value("id", uint64_t{0})}, {"done", true}});
    }

    bool has_room_for_events() override { return channel_.pending_bytes() < EventBytesMax; }
    void emit_event(const nlohmann::json& message) override { channel_.send(message); }
    // More than the channel takes is no answer: main gives it up when its time is over.
    void emit(const nlohmann::json& message) override { channel_.send(message); }

    // Main has died. Whoever starts proxyd anew needs the addresses, so we leave them.
    void on_channel_end(Channel&) override {
        if (!worker_.is_draining())
            log_error("the supervisor has gone: no more clients are accepted");
        on_drain();
    }

    // Once is enough: the descriptor is left unread.
    void on_terminate() noexcept {
        terminate_.stop();
        on_drain();
    }

    void on_drain() noexcept {
        for (ListeningSocket& socket : sockets_)
            if (socket.socket.is_open()) retire_shared_descriptor(std::move(socket.socket));
        sockets_.clear();
        worker_.drain();
        channel_.send({{"is", "draining"}});
    }

    const WorkerSetup& setup_;
    std::vector<ListeningSocket> sockets_;  // until "go"
    EventLoop loop_;
    Worker worker_;
    Channel channel_;
    WorkerReports reports_;
    SessionEvents events_{*this};
    UniqueFd terminate_signal_;
    ReadWatcher<&WorkerMain::on_terminate> terminate_;
};

// A worker has the sockets of its own number, and those of workers that an earlier configuration
// had and this one hasn't: nobody else would take the clients that the kernel gives to them. Where
// there are fewer sockets than workers, since the service manager has opened them, it shares one.
std::vector<ListeningSocket> own_sockets(const WorkerSetup& setup) {
    std::vector<ListeningSocket> sockets;
    for (const ListeningAddress& listening : setup.generation.addresses)
        for (size_t i = setup.index % listening.sockets.size(); i < listening.sockets.size();
             i += setup.generation.configuration.workers)
            sockets.push_back(
                {UniqueFd::adopt(listening.sockets[i]->borrow().number()), listening.address,
                 setup.generation.configuration.listeners[listening.listener].site,
                 &setup.generation.configuration.listeners[listening.listener].access,
                 setup.generation.configuration.listeners[listening.listener].proxy_protocol});
    return sockets;
}

void close_all_but(std::vector<int> kept) {
    std::sort(kept.begin(), kept.end());
    unsigned first = STDERR_FILENO + 1;
    for (const int fd : kept) {
        const auto number = static_cast<unsigned>(fd);
        if (number < first) continue;
        if (number > first) close_range(first, number - 1, 0);
        first = number + 1;
    }
    close_range(first, ~0U, 0);
}

// What a terminal or an administrator sends to the group is for main.
void leave_signals_to_main() {
    for (const int number : {SIGINT, SIGHUP, SIGUSR1, SIGUSR2})
        signal(number, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
}

}  // namespace

void run_worker(const WorkerSetup& setup, UniqueFd channel) {
    leave_signals_to_main();
    memory_to_say_so = std::make_unique<char[]>(MemoryToSaySo);
    std::set_terminate(on_fatal_exception);
    prctl(PR_SET_NAME, "proxyd-worker", 0, 0, 0);
    set_log_level(setup.generation.configuration.daemon.log_level);
    take_log_line_counts();  // those of main
    // While its descriptor is ours still.
    ProcessStatistics& statistics = setup.statistics.keep_only(setup.statistics_slot);
    std::vector<ListeningSocket> sockets = own_sockets(setup);
    std::vector<int> kept = {channel.borrow().number(),
                             setup.generation.access_log.borrow().number()};
    for (const ListeningSocket& socket : sockets)
        kept.push_back(socket.socket.borrow().number());
    close_all_but(std::move(kept));
    const UniqueFd null = UniqueFd::adopt(open("/dev/null", O_RDONLY | O_CLOEXEC));
    dup2(null.borrow().number(), STDIN_FILENO);
    for (ListeningSocket& socket : sockets)
        socket.epoll = epoll_of(socket.socket);
    const Configuration& configuration = setup.generation.configuration;
    AccessLog access_log(UniqueFd::adopt(setup.generation.access_log.borrow().number()),
                         line_log_kind(configuration.daemon.access_log),
                         configuration.daemon.access_log_format);
    {
        WorkerMain worker(setup, statistics, std::move(channel), std::move(access_log),
                          std::move(sockets));
        worker.run();
    }
    _exit(0);
}

}  // namespace proxyd
