// SPDX-License-Identifier: MIT
#include "base/daemon/event_loop.h"

#include <cassert>

namespace proxyd {

EventLoop::EventLoop() : loop_(ev_loop_new(EVBACKEND_EPOLL)) {
    assert(loop_ != nullptr && "epoll is part of every Linux that this runs on");
}

EventLoop::~EventLoop() {
    ev_loop_destroy(loop_);
}

void EventLoop::run() {
    ev_run(loop_, 0);
}

void EventLoop::stop() {
    ev_break(loop_, EVBREAK_ALL);
}

uint64_t EventLoop::wakeups() const {
    return ev_iteration(loop_);
}

}  // namespace proxyd
