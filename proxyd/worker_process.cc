// SPDX-License-Identifier: MIT
#include "proxyd/worker_process.h"

#include <signal.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

namespace proxyd {

Result<std::unique_ptr<WorkerProcess>> WorkerProcess::start(EventLoop& loop, Channel::Owner& owner,
                                                            const WorkerSetup& setup) {
    auto ends = Channel::make_pair();
    if (!ends) return Unexpected{ends.error()};
    const pid_t pid = fork();
    if (pid < 0) return Unexpected{Errno::last()};
    if (pid == 0) run_worker(setup, std::move(ends->second));
    const Identity identity{pid, setup.index, setup.generation.number, setup.source_column,
                            setup.statistics_slot};
    return std::make_unique<WorkerProcess>(loop, owner, std::move(ends->first), identity);
}

std::string_view worker_state_word(WorkerProcess::State state) {
    switch (state) {
        case WorkerProcess::State::Starting:
        case WorkerProcess::State::Ready:
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

void WorkerProcess::drain() {
    state_ = State::Draining;
    channel_.send({{"do", "drain"}});
}

void WorkerProcess::end_now() {
    state_ = State::Draining;
    channel_.send({{"do", "end_now"}});
}

void WorkerProcess::kill() {
    ::kill(pid(), SIGKILL);
}

}  // namespace proxyd
