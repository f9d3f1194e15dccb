// SPDX-License-Identifier: MIT
#include "tcpshim/worker_process.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

namespace proxyd::shim {

Result<User, std::string> find_worker_user(const Configuration& configuration) {
    auto user = find_user({.name = configuration.daemon.user,
                           .default_name = "proxyd",
                           .processes = "the worker",
                           .program = "tcpshim"});
    if (user) return user;
    return Unexpected{fmt::format("{}: {}", configuration.daemon.user_place, user.error())};
}

Result<std::unique_ptr<WorkerProcess>> WorkerProcess::start(EventLoop& loop, Channel::Owner& owner,
                                                            std::shared_ptr<Generation> generation,
                                                            const Elsewhere& elsewhere) {
    auto statistics = WorkerStatistics::create(generation->configuration);
    if (!statistics) return Unexpected{statistics.error()};
    auto ends = Channel::make_pair();
    if (!ends) return Unexpected{ends.error()};
    const pid_t pid = fork();
    if (pid < 0) return Unexpected{Errno::last()};
    if (pid == 0) run_worker(*generation, **statistics, elsewhere, std::move(ends->second));
    return std::make_unique<WorkerProcess>(loop, owner, std::move(ends->first), pid,
                                           std::move(generation), *std::move(statistics));
}

WorkerProcess::WorkerProcess(EventLoop& loop, Channel::Owner& owner, UniqueFd channel, pid_t pid,
                             std::shared_ptr<Generation> generation,
                             std::unique_ptr<WorkerStatistics> statistics)
    : pid_(pid),
      generation_(std::move(generation)),
      statistics_(std::move(statistics)),
      channel_(loop, std::move(channel), owner) {}

uint64_t WorkerProcess::connections() const {
    uint64_t active = 0;
    for (size_t i = 0; i < statistics_->site_count(); i++)
        active += statistics_->site(i).active.read();
    return active;
}

std::string_view worker_state_word(WorkerProcess::State state) {
    switch (state) {
        case WorkerProcess::State::Starting:
            return "starting";
        case WorkerProcess::State::Serving:
            return "serving";
        case WorkerProcess::State::Draining:
            return "draining";
    }
    return "?";
}

void WorkerProcess::go() {
    state_ = State::Serving;
    channel_.send({{"do", "go"}});
}

void WorkerProcess::drain(bool takes_what_is_queued) {
    state_ = State::Draining;
    channel_.send({{"do", "drain"}, {"all", takes_what_is_queued}});
}

void WorkerProcess::limit_drain() {
    channel_.send({{"do", "limit_drain"}});
}

void WorkerProcess::kill() {
    ::kill(pid_, SIGKILL);
}

}  // namespace proxyd::shim
