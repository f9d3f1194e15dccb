// SPDX-License-Identifier: MIT
//
// Habit: two children accept from the listener that their parent has bound; the parent closes it.
#include "tests/programs/observe.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int count, char** arguments) {
    (void)count;
    const union socket_address address = address_from(arguments);
    const int listener = new_listener(&address, 0);
    int gate[2];
    if (pipe(gate) != 0) return 1;
    for (int i = 0; i < 2; i++) {
        if (fork() != 0) continue;
        // One after the other, so that the lines come in order; both hold the listener meanwhile.
        char turn;
        if (read(gate[0], &turn, 1) != 1) return 1;
        say("ready");
        accept_and_observe("accept in a child", listener);
        return 0;
    }
    close(listener);
    for (int i = 0; i < 2; i++) {
        if (write(gate[1], "x", 1) != 1) return 1;
        wait(NULL);
    }
    say("both have served");
}
