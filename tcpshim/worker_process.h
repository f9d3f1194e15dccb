// SPDX-License-Identifier: MIT
//
// WorkerProcess: a worker as main sees it: a child process, the channel to it, and what it counts.
// The child itself is run_worker (worker_main.cc): forked, without executing anything.
//
//     main --> worker   {"do": "go"}                 it gets clients from now on
//                       {"do": "drain", "all": B}    no more of them; with B after those queued
//                       {"do": "limit_drain"}        drain_timeout begins
//                       {"do": "access_log"} + descriptor, {"do": "log_level", "level": L}
//                       {"do": "ping"}
//     worker --> main   {"is": "ready"}, {"is": "failed", "why": W}, {"is": "draining"},
//                       {"is": "pong"}
#pragma once

#include "base/daemon/channel.h"
#include "base/daemon/confinement/privileges.h"
#include "base/daemon/event_loop.h"
#include "base/daemon/life_watch.h"
#include "base/posix/result.h"
#include "base/relay/configuration.h"
#include "tcpshim/elsewhere.h"
#include "tcpshim/site_sockets.h"
#include "tcpshim/statistics.h"

#include <sys/types.h>

#include <memory>
#include <string>

namespace proxyd::shim {

// One configuration in force, or about to be, and all that main has opened for it.
struct Generation {
    uint64_t number = 0;
    Configuration configuration;
    User user;
    OpenSiteSockets sockets;
    UniqueFd access_log;
    UniqueFd metrics_socket;
};

// Whom its worker runs as; the error is a whole message.
Result<User, std::string> find_worker_user(const Configuration& configuration);

class WorkerProcess {
  public:
    enum class State : uint8_t { Starting, Serving, Draining };

    // Forks; does not return in the child.
    static Result<std::unique_ptr<WorkerProcess>> start(EventLoop& loop, Channel::Owner& owner,
                                                        std::shared_ptr<Generation> generation,
                                                        const Elsewhere& elsewhere);

    pid_t pid() const { return pid_; }
    State state() const { return state_; }
    const Generation& generation() const { return *generation_; }
    const WorkerStatistics& statistics() const { return *statistics_; }
    uint64_t connections() const;  // that it has at the moment, or had when it died
    Channel& channel() { return channel_; }
    LifeWatch& life() { return life_; }
    Clock::time_point started_at() const { return started_at_; }
    // Whether it has told that it takes no more clients.
    bool has_let_go() const { return has_let_go_; }
    void set_has_let_go() { has_let_go_ = true; }

    void go();
    void drain(bool takes_what_is_queued);
    void limit_drain();
    void kill();

    WorkerProcess(EventLoop& loop, Channel::Owner& owner, UniqueFd channel, pid_t pid,
                  std::shared_ptr<Generation> generation,
                  std::unique_ptr<WorkerStatistics> statistics);

  private:
    const pid_t pid_;
    const std::shared_ptr<Generation> generation_;
    const std::unique_ptr<WorkerStatistics> statistics_;
    State state_ = State::Starting;
    bool has_let_go_ = false;
    const Clock::time_point started_at_ = Clock::now();
    Channel channel_;
    LifeWatch life_{channel_};
};

// "starting", "serving", "draining".
std::string_view worker_state_word(WorkerProcess::State state);

// The child's side: becomes a worker, and ends the process when it is done.
[[noreturn]] void run_worker(Generation& generation, WorkerStatistics& statistics,
                             const Elsewhere& elsewhere, UniqueFd channel);

}  // namespace proxyd::shim
