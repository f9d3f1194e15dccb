// SPDX-License-Identifier: MIT
//
// Habit: limits how long accept may wait (SO_RCVTIMEO), and goes on when the time is over.
#include "tests/programs/observe.h"

#include <sys/time.h>

int main(int count, char** arguments) {
    (void)count;
    const union socket_address address = address_from(arguments);
    const int listener = new_listener(&address, 0);
    struct timeval patience = {.tv_sec = 0, .tv_usec = 10000};
    observe("SO_RCVTIMEO",
            setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)));
    observe("accept in vain", accept(listener, NULL, NULL));
    observe("accept4 in vain", accept4(listener, NULL, NULL, SOCK_NONBLOCK));
    patience.tv_sec = 30;
    observe("SO_RCVTIMEO",
            setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)));
    say("ready");
    accept_and_observe("accept", listener);
}
