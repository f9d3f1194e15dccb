// SPDX-License-Identifier: MIT
//
// Habit: opens a descriptor for each client, as a proxy does that keeps its backends' connections,
// and closes the client: accept gives the same low number again and again, until the table is full.
// The argument "late" lowers the limit after it listens, as nginx's workers do.
#include "tests/programs/observe.h"

#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void limit_numbers(void) {
    const struct rlimit limit = {.rlim_cur = 24, .rlim_max = 24};
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void wait_for_client(int listener) {
    struct pollfd query = {.fd = listener, .events = POLLIN};
    say("ready");
    poll(&query, 1, -1);
}

int main(int count, char** arguments) {
    const union socket_address address = address_from(arguments);
    const bool is_late = count > 3 && strcmp(arguments[3], "late") == 0;
    if (!is_late) limit_numbers();
    const int listener = new_listener(&address, SOCK_NONBLOCK);
    if (is_late) limit_numbers();
    int connection, pooled;
    do {
        wait_for_client(listener);
        connection = observe("accept", accept4(listener, NULL, NULL, SOCK_NONBLOCK));
        pooled = dup(STDIN_FILENO);
        if (pooled >= 0) close(connection);
    } while (pooled >= 0);
    wait_for_client(listener);
    observe("a full table", accept4(listener, NULL, NULL, SOCK_NONBLOCK));
    close(connection);
    observe("one free", accept4(listener, NULL, NULL, SOCK_NONBLOCK));
}
