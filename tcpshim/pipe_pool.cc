// SPDX-License-Identifier: MIT
#include "tcpshim/pipe_pool.h"

#include <fcntl.h>

#include <cassert>

namespace proxyd::shim {
namespace {

Pipe make_pipe(size_t bytes) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return {};
    Pipe pipe{UniqueFd::adopt(ends[0]), UniqueFd::adopt(ends[1]), 0};
    fcntl(ends[1], F_SETPIPE_SZ, static_cast<int>(bytes));  // refused: it stays as it is
    const int capacity = fcntl(ends[1], F_GETPIPE_SZ);
    pipe.capacity = capacity > 0 ? static_cast<size_t>(capacity) : 4096;
    return pipe;
}

}  // namespace

size_t PipePool::reserve_one() {
    if (idle_.empty()) {
        if (lent_ >= pipes_max_) return 0;
        Pipe pipe = make_pipe(pipe_bytes_);
        if (!pipe.is_open()) return 0;
        idle_.push_back(std::move(pipe));
    }
    return idle_.back().capacity;
}

Pipe PipePool::take() {
    assert(!idle_.empty());
    Pipe pipe = std::move(idle_.back());
    idle_.pop_back();
    lent_++;
    return pipe;
}

void PipePool::give_back(Pipe pipe) {
    assert(lent_ > 0);
    lent_--;
    if (idle_.size() < idle_max_) idle_.push_back(std::move(pipe));
}

void PipePool::discard(Pipe pipe) {
    assert(lent_ > 0);
    lent_--;
    pipe = Pipe{};
}

void PipePool::trim(size_t keep) {
    if (idle_.size() > keep) idle_.erase(idle_.begin() + static_cast<ptrdiff_t>(keep), idle_.end());
}

}  // namespace proxyd::shim
