// SPDX-License-Identifier: MIT
//
// The event loop: libev behind typed watchers. A watcher is a member of the object that it calls,
// is bound to one of its member functions at compile time, is neither copied nor moved, and stops
// itself when it is destroyed. Used by the daemons; a process has one loop, made in main.
//
// Not for sockets that are going to be handed over: libev never removes a descriptor from its epoll
// set and relies on close(2) to do it, but a socket that another process has open stays there.
#pragma once

#include "base/posix/unique_fd.h"

#include <ev.h>

#include <chrono>
#include <cstdint>

namespace proxyd {

using Clock = std::chrono::steady_clock;

class EventLoop {
  public:
    EventLoop();
    ~EventLoop();
    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;

    void run();   // until stop()
    void stop();  // may be called from a callback
    // How often the loop has asked the kernel for events since it was made.
    uint64_t wakeups() const;

    struct ev_loop* libev() {
        return loop_;
    }

  private:
    struct ev_loop* loop_;
};

namespace detail {

template <typename>
struct MemberFunction;
template <typename Owner_>
struct MemberFunction<void (Owner_::*)() noexcept> {
    using Owner = Owner_;
};

}  // namespace detail

// `Watch` is one of libev's watcher types, `Callback` a member function `void f() noexcept`.
template <typename Watch, auto Callback>
class Watcher {
    using Owner = typename detail::MemberFunction<decltype(Callback)>::Owner;

  public:
    Watcher(const Watcher&) = delete;
    Watcher& operator=(const Watcher&) = delete;
    bool is_active() const { return ev_is_active(&watch_) != 0; }

    Watcher(EventLoop& loop, Owner& owner) : loop_(loop.libev()) {
        ev_init(&watch_, &Watcher::call);
        watch_.data = &owner;
    }

  protected:
    ~Watcher() = default;

    static void call(struct ev_loop*, Watch* watch, int) noexcept {
        (static_cast<Owner*>(watch->data)->*Callback)();
    }

    struct ev_loop* loop_;
    Watch watch_;
};

template <auto Callback>
class ReadWatcher : public Watcher<ev_io, Callback> {
    using Base = Watcher<ev_io, Callback>;

  public:
    using Base::Base;
    ~ReadWatcher() { stop(); }
    // Among descriptors that are ready at once, the higher priority (-2 to 2) is called first.
    void start(BorrowedFd fd, int priority = 0) {
        stop();
        ev_io_set(&this->watch_, fd.number(), EV_READ);
        ev_set_priority(&this->watch_, priority);
        ev_io_start(this->loop_, &this->watch_);
    }
    void stop() { ev_io_stop(this->loop_, &this->watch_); }
    // Once, in this round of the loop, after all that has a higher priority: as if it were
    // readable.
    void call_soon() { ev_feed_event(this->loop_, &this->watch_, EV_READ); }
};

template <auto Callback>
class WriteWatcher : public Watcher<ev_io, Callback> {
    using Base = Watcher<ev_io, Callback>;

  public:
    using Base::Base;
    ~WriteWatcher() { stop(); }
    void start(BorrowedFd fd) {
        stop();
        ev_io_set(&this->watch_, fd.number(), EV_WRITE);
        ev_io_start(this->loop_, &this->watch_);
    }
    void stop() { ev_io_stop(this->loop_, &this->watch_); }
};

template <auto Callback>
class TimerWatcher : public Watcher<ev_timer, Callback> {
    using Base = Watcher<ev_timer, Callback>;

  public:
    using Base::Base;
    ~TimerWatcher() { stop(); }
    // Once, `delay` from now: the loop's idea of now may be as old as its last wake-up.
    void start(Clock::duration delay) {
        stop();
        ev_now_update(this->loop_);
        ev_timer_set(&this->watch_, std::chrono::duration<double>(delay).count(), 0.0);
        ev_timer_start(this->loop_, &this->watch_);
    }
    void stop() { ev_timer_stop(this->loop_, &this->watch_); }
};

template <auto Callback>
class SignalWatcher : public Watcher<ev_signal, Callback> {
    using Base = Watcher<ev_signal, Callback>;

  public:
    SignalWatcher(EventLoop& loop,
                  typename detail::MemberFunction<decltype(Callback)>::Owner& owner, int signal)
        : Base(loop, owner) {
        ev_signal_set(&this->watch_, signal);
        ev_signal_start(this->loop_, &this->watch_);
    }
    ~SignalWatcher() { ev_signal_stop(this->loop_, &this->watch_); }
};

// While it is active the loop doesn't wait: called whenever nothing else is to be done.
template <auto Callback>
class IdleWatcher : public Watcher<ev_idle, Callback> {
    using Base = Watcher<ev_idle, Callback>;

  public:
    using Base::Base;
    ~IdleWatcher() { stop(); }
    void start() { ev_idle_start(this->loop_, &this->watch_); }
    void stop() { ev_idle_stop(this->loop_, &this->watch_); }
};

// Called each time just before the loop waits for events.
template <auto Callback>
class BeforeWaitWatcher : public Watcher<ev_prepare, Callback> {
    using Base = Watcher<ev_prepare, Callback>;

  public:
    BeforeWaitWatcher(EventLoop& loop,
                      typename detail::MemberFunction<decltype(Callback)>::Owner& owner)
        : Base(loop, owner) {
        ev_prepare_start(this->loop_, &this->watch_);
    }
    ~BeforeWaitWatcher() { ev_prepare_stop(this->loop_, &this->watch_); }
};

}  // namespace proxyd
