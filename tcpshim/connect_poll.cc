// SPDX-License-Identifier: MIT
#include "tcpshim/connect_poll.h"

namespace proxyd::shim {

ConnectPoll::ConnectPoll(EventLoop& loop, size_t many)
    : many_(many), epoll_(UniqueFd::adopt(epoll_create1(EPOLL_CLOEXEC))), readable_(loop, *this) {
    if (epoll_.is_open()) readable_.start(epoll_);
}

bool ConnectPoll::add(BorrowedFd socket, uint32_t epoll_events, Handler& handler) {
    epoll_event event{};
    event.events = epoll_events;
    event.data.ptr = &handler;
    if (epoll_ctl(epoll_.borrow().number(), EPOLL_CTL_ADD, socket.number(), &event) != 0)
        return false;
    size_++;
    return true;
}

void ConnectPoll::remove(BorrowedFd socket, Handler& handler) {
    if (epoll_ctl(epoll_.borrow().number(), EPOLL_CTL_DEL, socket.number(), nullptr) == 0) size_--;
    for (size_t i = 0; i < count_; i++)
        if (events_[i].data.ptr == &handler) events_[i].data.ptr = nullptr;
}

void ConnectPoll::on_readable() noexcept {
    const int count =
        epoll_wait(epoll_.borrow().number(), events_.data(), static_cast<int>(events_.size()), 0);
    count_ = count < 0 ? 0 : static_cast<size_t>(count);
    for (size_t i = 0; i < count_; i++)
        if (events_[i].data.ptr != nullptr)
            static_cast<Handler*>(events_[i].data.ptr)->on_socket_ready();
    count_ = 0;
}

}  // namespace proxyd::shim
