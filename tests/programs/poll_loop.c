// SPDX-License-Identifier: MIT
//
// Habit: a non-blocking listener, poll, and accept until there is nothing left. With the argument
// "epoll", the socket is registered with an epoll instance before it is bound.
#include "tests/programs/observe.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

static void wait_with_poll(int listener) {
    struct pollfd query = {.fd = listener, .events = POLLIN};
    poll(&query, 1, -1);
    printf("poll: events %#x\n", (unsigned)query.revents);
}

static void wait_with_epoll(int instance) {
    struct epoll_event event;
    do
        epoll_wait(instance, &event, 1, -1);
    while (!(event.events & EPOLLIN));
    printf("epoll_wait: data %u\n", event.data.u32);
}

int main(int count, char** arguments) {
    const union socket_address address = address_from(arguments);
    const bool with_epoll = count > 3 && strcmp(arguments[3], "epoll") == 0;
    const int listener = new_socket(&address, SOCK_NONBLOCK);
    const int instance = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u32 = 77};
    epoll_ctl(instance, EPOLL_CTL_ADD, listener, &event);
    const int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    observe("bind", bind(listener, &address.generic, length_of(&address)));
    observe("accept before listen", accept(listener, NULL, NULL));
    observe("listen", listen(listener, 16));
    observe("listen again", listen(listener, 32));
    observe_flags("listener", listener);
    observe("accept with nobody there", accept(listener, NULL, NULL));
    for (int i = 0; i < 2; i++) {
        say("ready");
        if (with_epoll)
            wait_with_epoll(instance);
        else
            wait_with_poll(listener);
        accept_and_observe("accept", listener);
        accept_and_observe("accept once more", listener);
    }
    observe("shutdown", shutdown(listener, SHUT_RDWR));
    observe("accept after shutdown", accept(listener, NULL, NULL));
}
