// SPDX-License-Identifier: MIT
//
// Habit: one blocking accept after the other, three clients.
#include "tests/programs/observe.h"

int main(int count, char** arguments) {
    (void)count;
    const union socket_address address = address_from(arguments);
    const int listener = new_listener(&address, 0);
    observe_flags("listener", listener);
    for (int i = 0; i < 3; i++) {
        say("ready");
        accept_and_observe("accept", listener);
    }
}
