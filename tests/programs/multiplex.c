// SPDX-License-Identifier: MIT
//
// Habit: waits with select and poll, blocks all the same, and counts what is there (ioctl).
#include "tests/programs/observe.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <unistd.h>

static void poll_for(const char* name, int fd, int timeout) {
    struct pollfd query = {.fd = fd, .events = POLLIN | POLLPRI | POLLRDHUP};
    const int count = poll(&query, 1, timeout);
    printf("%s: %d, %x\n", name, count, (unsigned)query.revents);
}

static void select_for(const char* name, int fd, struct timeval* timeout) {
    fd_set readable, exceptional;
    FD_ZERO(&readable);
    FD_ZERO(&exceptional);
    FD_SET(fd, &readable);
    FD_SET(fd, &exceptional);
    const int count = select(fd + 1, &readable, NULL, &exceptional, timeout);
    printf("%s: %d, readable %d, exceptional %d\n", name, count, FD_ISSET(fd, &readable) != 0,
           FD_ISSET(fd, &exceptional) != 0);
}

int main(int count, char** arguments) {
    (void)count;
    const union socket_address address = address_from(arguments);
    const int listener = new_listener(&address, 0);
    struct timeval at_once = {0, 0};
    poll_for("poll without a client", listener, 0);
    select_for("select without a client", listener, &at_once);
    say("ready");
    poll_for("poll", listener, -1);
    select_for("select", listener, NULL);
    accept_and_observe("accept", listener);
    int on = 1;
    observe("FIONBIO", ioctl(listener, FIONBIO, &on));
    observe_flags("listener", listener);
    observe("accept with nobody there", accept(listener, NULL, NULL));
    observe("FIOCLEX", ioctl(listener, FIOCLEX));
    observe_flags("listener", listener);
    say("ready");
    poll_for("poll", listener, -1);
    accept_and_observe("accept", listener);
    observe("shutdown", shutdown(listener, SHUT_RD));
    observe("accept", accept(listener, NULL, NULL));
    observe("accept", accept4(listener, NULL, NULL, SOCK_NONBLOCK));
}
