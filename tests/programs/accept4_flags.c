// SPDX-License-Identifier: MIT
//
// Habit: accept4 with each combination of its flags, on a listener that is close-on-exec.
#include "tests/programs/observe.h"

int main(int count, char** arguments) {
    (void)count;
    const union socket_address address = address_from(arguments);
    const int listener = new_listener(&address, SOCK_CLOEXEC);
    observe_flags("listener", listener);
    observe("accept4 with a flag that doesn't exist", accept4(listener, NULL, NULL, 1));
    const int flags[] = {0, SOCK_NONBLOCK, SOCK_CLOEXEC, SOCK_NONBLOCK | SOCK_CLOEXEC};
    for (int i = 0; i < 4; i++) {
        say("ready");
        observe_connection("accept4", accept4(listener, NULL, NULL, flags[i]));
    }
}
