// SPDX-License-Identifier: MIT
//
// Habit: goes on accepting, without blocking, while its table of descriptors is full but for the
// one that it closes now and then, as a server at its limit does.
#include "tests/programs/observe.h"

#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

static void wait_for_client(int listener) {
    struct pollfd query = {.fd = listener, .events = POLLIN};
    say("ready");
    poll(&query, 1, -1);
}

static int accept_now(const char* name, int listener) {
    return observe(name, accept4(listener, NULL, NULL, SOCK_NONBLOCK));
}

int main(int count, char** arguments) {
    (void)count;
    const union socket_address address = address_from(arguments);
    const struct rlimit limit = {.rlim_cur = 24, .rlim_max = 24};
    setrlimit(RLIMIT_NOFILE, &limit);
    const int listener = new_listener(&address, SOCK_NONBLOCK);
    int first = -1, connection;
    do {
        wait_for_client(listener);
        connection = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (first < 0) first = connection;
    } while (connection >= 0);
    observe("a full table", connection);
    close(first);
    connection = accept_now("one free", listener);
    wait_for_client(listener);
    accept_now("full again", listener);
    accept_now("still full", listener);
    close(connection);
    accept_now("one free again", listener);
}
