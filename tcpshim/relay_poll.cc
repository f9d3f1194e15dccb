// SPDX-License-Identifier: MIT
#include "tcpshim/relay_poll.h"

#include <algorithm>

namespace proxyd::shim {
namespace {

// A handler's address is even: the lowest bit says which of its two sockets it is.
constexpr uint64_t BackendBit = 1;

uint64_t key_of(RelayPoll::Handler& handler, Side side) {
    const uint64_t address = reinterpret_cast<uintptr_t>(&handler);
    return side == Side::Backend ? address | BackendBit : address;
}

RelayPoll::Handler* handler_of(uint64_t key) {
    return reinterpret_cast<RelayPoll::Handler*>(key & ~BackendBit);
}

}  // namespace

RelayPoll::RelayPoll(EventLoop& loop)
    : epoll_(UniqueFd::adopt(epoll_create1(EPOLL_CLOEXEC))),
      readable_(loop, *this),
      idle_(loop, *this) {
    if (epoll_.is_open()) readable_.start(epoll_);
}

Result<void> RelayPoll::add(BorrowedFd socket, Handler& handler, Side side) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;
    event.data.u64 = key_of(handler, side);
    if (epoll_ctl(epoll_.borrow().number(), EPOLL_CTL_ADD, socket.number(), &event) != 0)
        return Unexpected{Errno::last()};
    return {};
}

void RelayPoll::remove(BorrowedFd socket) {
    epoll_ctl(epoll_.borrow().number(), EPOLL_CTL_DEL, socket.number(), nullptr);
}

void RelayPoll::call_again(Handler& handler) {
    if (std::find(turns_.begin(), turns_.end(), &handler) == turns_.end())
        turns_.push_back(&handler);
    if (!idle_.is_active()) idle_.start();
}

void RelayPoll::forget(Handler& handler) {
    for (size_t i = 0; i < event_count_; i++)
        if (handler_of(events_[i].data.u64) == &handler) events_[i].data.u64 = 0;
    std::erase(turns_, &handler);
    std::replace(turns_now_.begin(), turns_now_.end(), &handler, static_cast<Handler*>(nullptr));
}

void RelayPoll::on_readable() noexcept {
    const int count =
        epoll_wait(epoll_.borrow().number(), events_.data(), static_cast<int>(EventsMax), 0);
    event_count_ = count > 0 ? static_cast<size_t>(count) : 0;
    for (size_t i = 0; i < event_count_; i++) {
        const uint64_t key = events_[i].data.u64;
        if (key == 0) continue;
        const Side side = (key & BackendBit) != 0 ? Side::Backend : Side::Client;
        handler_of(key)->on_socket_events(side, events_[i].events);
    }
    event_count_ = 0;
    if (!turns_.empty()) run_turns();
}

void RelayPoll::run_turns() {
    turns_now_.swap(turns_);
    for (size_t i = 0; i < turns_now_.size(); i++)
        if (turns_now_[i] != nullptr) turns_now_[i]->on_turn();
    turns_now_.clear();
    if (turns_.empty()) idle_.stop();
}

}  // namespace proxyd::shim
