// SPDX-License-Identifier: MIT
#include "tcpshim/worker_process.h"

#include <signal.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

namespace proxyd::shim {

Result<std::unique_ptr<WorkerProcess>> WorkerProcess::start(
    EventLoop& loop, Channel::Owner& owner, std::shared_ptr<Generation> generation) {
    auto statistics = WorkerStatistics::create(generation->configuration);
    if (!statistics) return Unexpected{statistics.error()};
    auto ends = Channel::make_pair();
    if (!ends) return Unexpected{ends.error()};
    const pid_t pid = fork();
    if (pid < 0) return Unexpected{Errno::last()};
    if (pid == 0) run_worker(*generation, **statistics, std::move(ends->second));
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
