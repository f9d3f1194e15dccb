// SPDX-License-Identifier: MIT
#include "proxyd/listener.h"

#include "base/daemon/confinement/shared_descriptors.h"
#include "base/daemon/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

namespace proxyd {
namespace {

constexpr int BacklogMax = 4096;
constexpr int AcceptsPerWakeup = 16;
constexpr auto PauseTime = std::chrono::milliseconds(100);
constexpr auto PauseTellingInterval = std::chrono::seconds(10);

}  // namespace

UniqueFd epoll_of(BorrowedFd listening_socket) {
    UniqueFd epoll = UniqueFd::adopt(epoll_create1(EPOLL_CLOEXEC));
    epoll_event event{};
    event.events = EPOLLIN;
    if (epoll.is_open())
        epoll_ctl(epoll.borrow().number(), EPOLL_CTL_ADD, listening_socket.number(), &event);
    return epoll;
}

Listener::Listener(EventLoop& loop, ListeningSocket socket, Owner& owner)
    : socket_(std::move(socket.socket)),
      epoll_(std::move(socket.epoll)),
      site_directory_(std::move(socket.site)),
      entrance_{socket.address, Route{"listener", site_directory_, true}, socket.access,
                std::move(socket.proxy_protocol)},
      owner_(owner),
      readable_(loop, *this),
      pause_(loop, *this) {
    go_on();
}

void Listener::stop() {
    for (int i = 0; i < BacklogMax && accept_one() == Accepted::One; i++) {
    }
    readable_.stop();
    pause_.stop();
    epoll_.close();
    if (socket_.is_open()) retire_shared_descriptor(std::move(socket_));
    waits_for_room_ = false;
}

void Listener::on_readable() noexcept {
    for (int i = 0; i < AcceptsPerWakeup; i++) {
        const Accepted outcome = accept_one();
        if (outcome != Accepted::One) return;
    }
}

Listener::Accepted Listener::accept_one() {
    if (const auto lack = owner_.lack_of_room()) {
        waits_for_room_ = true;
        pause(*lack, *lack == AcceptPause::Memory
                         ? "no memory for another session"
                         : "no more descriptors are allowed (RLIMIT_NOFILE)");
        return Accepted::NoRoom;
    }
    sockaddr_storage storage;
    socklen_t length = sizeof(storage);
    auto* generic = reinterpret_cast<sockaddr*>(&storage);
    UniqueFd client =
        UniqueFd::adopt(accept4(socket_.borrow().number(), generic, &length, SOCK_CLOEXEC));
    if (client.is_open()) {
        owner_.on_accepted(std::move(client), SocketAddress::from_kernel(generic, length),
                           entrance_);
        return Accepted::One;
    }
    switch (errno) {
        case EAGAIN:
            return Accepted::None;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            pause(accept_pause_of(Errno::last()), errno_text(errno));
            return Accepted::NoRoom;
        case EINVAL:
        case EBADF:
        case ENOTSOCK:
        case EOPNOTSUPP:  // it listens no more: somebody has disconnected it
            pause(AcceptPause::SystemDescriptors, errno_text(errno));
            return Accepted::NoRoom;
        default:
            return Accepted::One;  // this client has gone; the next may be there (accept(2))
    }
}

// Clients stay in the backlog meanwhile: nothing spins, nobody is lost.
void Listener::pause(AcceptPause cause, std::string_view why) {
    owner_.on_accept_pause(cause);
    // Pauses may be as short as a session; one message stands for all of a while.
    if (Clock::now() >= tells_of_pause_from_) {
        SocketAddress::Text text;
        log_warning("accepting pauses at {}: {}", entrance_.address.format(text), why);
        tells_of_pause_from_ = Clock::now() + PauseTellingInterval;
    }
    readable_.stop();
    pause_.start(PauseTime);
}

void Listener::on_pause_over() noexcept {
    go_on();
}

void Listener::go_on() {
    waits_for_room_ = false;
    pause_.stop();
    readable_.start(epoll_.is_open() ? epoll_ : socket_);
}

}  // namespace proxyd
