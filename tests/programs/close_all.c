// SPDX-License-Identifier: MIT
//
// Habit: closes all descriptors at its start, by close_range or one by one (sshd, varnishd).
#include "tests/programs/observe.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int count, char** arguments) {
    const union socket_address address = address_from(arguments);
    if (count > 3 && strcmp(arguments[3], "one-by-one") == 0) {
        for (int fd = 3; fd < 4096; fd++)
            close(fd);
    } else {
        observe("close_range", close_range(3, ~0U, 0));
    }
    const int listener = new_listener(&address, 0);
    printf("the listener is %d\n", listener);
    say("ready");
    accept_and_observe("accept", listener);
}
