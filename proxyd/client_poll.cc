// SPDX-License-Identifier: MIT
#include "proxyd/client_poll.h"

#include <sys/epoll.h>

#include <array>

namespace proxyd {

ClientPoll::ClientPoll(EventLoop& loop, Owner& owner)
    : epoll_(UniqueFd::adopt(epoll_create1(EPOLL_CLOEXEC))), owner_(owner), readable_(loop, *this) {
    if (epoll_.is_open()) readable_.start(epoll_);
}

Result<void> ClientPoll::add(BorrowedFd client, uint64_t key, uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = key;
    if (epoll_ctl(epoll_.borrow().number(), EPOLL_CTL_ADD, client.number(), &event) != 0)
        return Unexpected{Errno::last()};
    return {};
}

void ClientPoll::change(BorrowedFd client, uint64_t key, uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = key;
    epoll_ctl(epoll_.borrow().number(), EPOLL_CTL_MOD, client.number(), &event);
}

void ClientPoll::remove(BorrowedFd client) {
    epoll_ctl(epoll_.borrow().number(), EPOLL_CTL_DEL, client.number(), nullptr);
}

void ClientPoll::on_readable() noexcept {
    std::array<epoll_event, 64> events;
    const int count =
        epoll_wait(epoll_.borrow().number(), events.data(), static_cast<int>(events.size()), 0);
    for (int i = 0; i < count; i++) {
        const epoll_event& event = events[static_cast<size_t>(i)];
        owner_.on_client_event(event.data.u64, event.events);
    }
}

}  // namespace proxyd
