// SPDX-License-Identifier: MIT
//
// Habit: the listener goes from number to number, and the old one is closed (php-fpm, Java).
#include "tests/programs/observe.h"

#include <fcntl.h>
#include <unistd.h>

static int move(int from, int to) {
    close(from);
    return to;
}

int main(int count, char** arguments) {
    (void)count;
    const union socket_address address = address_from(arguments);
    int listener = new_listener(&address, 0);
    for (int step = 0; step < 5; step++) {
        if (step == 1) listener = move(listener, dup(listener));
        if (step == 2) listener = move(listener, dup2(listener, 40));
        if (step == 3) listener = move(listener, dup3(listener, 41, O_CLOEXEC));
        if (step == 4) listener = move(listener, fcntl(listener, F_DUPFD_CLOEXEC, 42));
        observe_flags("listener", listener);
        say("ready");
        accept_and_observe("accept", listener);
    }
    // Another thing under the same number is none of the listener's business.
    int pipe_ends[2];
    if (pipe(pipe_ends) == 0) dup2(pipe_ends[0], listener);
    observe("accept on a pipe", accept(listener, NULL, NULL));
    close(listener);
    observe("accept on a closed descriptor", accept(listener, NULL, NULL));
}
