// SPDX-License-Identifier: MIT
//
// Habit: binds, then executes itself with the listener as an argument (uvicorn, sshd, upgrades).
#include "tests/programs/observe.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int count, char** arguments) {
    union socket_address address = address_from(arguments);
    if (count == 3) {
        const int listener = new_listener(&address, 0);
        char number[16];
        snprintf(number, sizeof(number), "%d", listener);
        execl("/proc/self/exe", arguments[0], arguments[1], arguments[2], number, NULL);
        return 1;
    }
    const int listener = atoi(arguments[3]);
    socklen_t length = sizeof(address);
    observe("getsockname", getsockname(listener, &address.generic, &length));
    observe_address("inherited", &address, length);
    observe_option("SO_TYPE", listener, SOL_SOCKET, SO_TYPE);
    observe_option("SO_ACCEPTCONN", listener, SOL_SOCKET, SO_ACCEPTCONN);
    observe("listen", listen(listener, 16));
    say("ready");
    accept_and_observe("accept", listener);
}
