// SPDX-License-Identifier: MIT
//
// Habit: runs out of descriptors, and accepts when there are some again.
#include "tests/programs/observe.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

static void limit_to(rlim_t count) {
    const struct rlimit limit = {.rlim_cur = count, .rlim_max = 64};
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int count, char** arguments) {
    (void)count;
    const union socket_address address = address_from(arguments);
    const int listener = new_listener(&address, 0);
    const int first_free = dup(listener);
    close(first_free);
    limit_to((rlim_t)first_free);
    struct pollfd query = {.fd = listener, .events = POLLIN};
    say("ready");
    poll(&query, 1, -1);
    observe("accept without a free descriptor", accept(listener, NULL, NULL));
    observe("accept once more", accept(listener, NULL, NULL));
    limit_to((rlim_t)first_free + 1);
    accept_and_observe("accept with one", listener);
}
