// SPDX-License-Identifier: MIT
#include "tcpshim/relay_poll.h"

#include <errno.h>

#include <algorithm>
#include <utility>

namespace proxyd::shim {
namespace {

// The lowest bit of a key says which of a handler's two sockets it is.
constexpr uint64_t BackendBit = 1;
constexpr int PlaceShift = 1, GenerationShift = 32;
constexpr uint32_t InputEvents = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET;
constexpr uint32_t PlaceMask = (uint32_t{1} << (GenerationShift - PlaceShift)) - 1;

}  // namespace

RelayPoll::RelayPoll(EventLoop& loop)
    : epoll_(UniqueFd::adopt(epoll_create1(EPOLL_CLOEXEC))),
      readable_(loop, *this),
      idle_(loop, *this) {
    if (epoll_.is_open()) readable_.start(epoll_);
}

uint64_t RelayPoll::key_of(Handler& handler, Side side) {
    if (handler.place == Handler::NoPlace) {
        if (free_places_.empty()) {
            free_places_.push_back(static_cast<uint32_t>(places_.size()));
            places_.emplace_back();
        }
        handler.place = free_places_.back();
        free_places_.pop_back();
        places_[handler.place].handler = &handler;
    }
    return uint64_t{places_[handler.place].generation} << GenerationShift |
           uint64_t{handler.place} << PlaceShift | (side == Side::Backend ? BackendBit : 0);
}

RelayPoll::Handler* RelayPoll::handler_of(uint64_t key) const {
    const Place& place = places_[static_cast<uint32_t>(key >> PlaceShift) & PlaceMask];
    return place.generation == key >> GenerationShift ? place.handler : nullptr;
}

Result<void> RelayPoll::add(BorrowedFd socket, Handler& handler, Side side) {
    epoll_event event{};
    event.events = InputEvents;
    event.data.u64 = key_of(handler, side);
    const int epoll = epoll_.borrow().number();
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, socket.number(), &event) == 0) return {};
    // The same socket was here before, under the same number.
    if (errno == EEXIST && epoll_ctl(epoll, EPOLL_CTL_MOD, socket.number(), &event) == 0) return {};
    return Unexpected{Errno::last()};
}

void RelayPoll::add_room(BorrowedFd socket, Handler& handler, Side side) {
    epoll_event event{};
    event.events = InputEvents | EPOLLOUT;
    event.data.u64 = key_of(handler, side);
    epoll_ctl(epoll_.borrow().number(), EPOLL_CTL_MOD, socket.number(), &event);
}

void RelayPoll::call_again(Handler& handler) {
    if (std::find(turns_.begin(), turns_.end(), &handler) == turns_.end())
        turns_.push_back(&handler);
    if (!idle_.is_active()) idle_.start();
}

void RelayPoll::call_soon(Handler& handler) {
    turns_.push_back(&handler);
    readable_.call_soon();
}

void RelayPoll::forget(Handler& handler) {
    if (handler.place != Handler::NoPlace) {
        Place& place = places_[handler.place];
        place.handler = nullptr;
        place.generation++;
        free_places_.push_back(std::exchange(handler.place, Handler::NoPlace));
    }
    if (turns_.empty() && turns_now_.empty()) return;
    std::erase(turns_, &handler);
    std::replace(turns_now_.begin(), turns_now_.end(), &handler, static_cast<Handler*>(nullptr));
}

void RelayPoll::on_readable() noexcept {
    const int count =
        epoll_wait(epoll_.borrow().number(), events_.data(), static_cast<int>(EventsMax), 0);
    for (int i = 0; i < count; i++) {
        const epoll_event& event = events_[static_cast<size_t>(i)];
        const uint64_t key = event.data.u64;
        const Side side = (key & BackendBit) != 0 ? Side::Backend : Side::Client;
        if (Handler* const handler = handler_of(key); handler != nullptr)
            handler->on_socket_events(side, event.events);
    }
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
