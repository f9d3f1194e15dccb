// SPDX-License-Identifier: MIT
//
// Habit: waits for its listener with each kind of epoll registration, some of them by an epoll
// descriptor that was duplicated, some made before bind.
#include "tests/programs/observe.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static void wait_and_accept(const char* name, int epoll, int listener, int timeout) {
    struct epoll_event event = {0};
    const int count = epoll_wait(epoll, &event, 1, timeout);
    printf("%s: %d events: %x data %llx\n", name, count, event.events,
           (unsigned long long)event.data.u64);
    if (count == 1) accept_and_observe("accept", listener);
}

int main(int count, char** arguments) {
    const union socket_address address = address_from(arguments);
    const bool is_early = count > 4 && strcmp(arguments[4], "before-bind") == 0;
    const char* kind = count > 3 ? arguments[3] : "level";
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0x123456789abcdef0};
    if (strcmp(kind, "edge") == 0) event.events |= EPOLLET;
    if (strcmp(kind, "oneshot") == 0) event.events |= EPOLLONESHOT;
    if (strcmp(kind, "exclusive") == 0) event.events |= EPOLLEXCLUSIVE;
    const int epoll = epoll_create1(EPOLL_CLOEXEC), copy = dup(epoll);
    const int listener = new_socket(&address, SOCK_NONBLOCK);
    if (is_early) observe("add", epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event));
    observe("bind", bind(listener, &address.generic, length_of(&address)));
    observe("listen", listen(listener, 16));
    if (!is_early) observe("add", epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event));
    // A socket that doesn't listen yet tells of its end once (EPOLLHUP), which an edge remembers.
    if (is_early) epoll_wait(epoll, &event, 1, 0);
    event.data.u64 = 0x123456789abcdef0;
    if (is_early && strcmp(kind, "oneshot") == 0) {
        event.events = EPOLLIN | EPOLLONESHOT;
        observe("modify", epoll_ctl(epoll, EPOLL_CTL_MOD, listener, &event));
    }
    say("ready");
    wait_and_accept("first", copy, listener, -1);
    wait_and_accept("nobody there", epoll, listener, 0);
    say("ready");
    if (strcmp(kind, "oneshot") == 0) {
        wait_and_accept("disarmed", epoll, listener, 0);
        event.events = EPOLLIN | EPOLLONESHOT;
        observe("modify", epoll_ctl(copy, EPOLL_CTL_MOD, listener, &event));
    }
    wait_and_accept("second", epoll, listener, -1);
    observe("delete", epoll_ctl(epoll, EPOLL_CTL_DEL, listener, NULL));
}
