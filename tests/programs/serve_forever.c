// SPDX-License-Identifier: MIT
//
// Habit: an honest server: accepts, says who came, says goodbye, closes, until it is killed.
#include "tests/programs/observe.h"

int main(int count, char** arguments) {
    (void)count;
    const union socket_address address = address_from(arguments);
    const int listener = new_listener(&address, 0);
    say("ready");
    while (true)
        accept_and_observe("accept", listener);
}
