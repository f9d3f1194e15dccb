// SPDX-License-Identifier: MIT
//
// Habit: has its socket under several numbers before it binds one, and accepts from another.
#include "tests/programs/observe.h"

#include <fcntl.h>
#include <unistd.h>

int main(int count, char** arguments) {
    (void)count;
    const union socket_address address = address_from(arguments);
    const int first = new_socket(&address, SOCK_CLOEXEC);
    const int second = dup(first);
    const int third = fcntl(first, F_DUPFD_CLOEXEC, 50);
    observe("bind", bind(first, &address.generic, length_of(&address)));
    observe("listen", listen(second, 16));
    observe_flags("first", first);
    observe_flags("second", second);
    observe_flags("third", third);
    close(first);
    say("ready");
    accept_and_observe("accept from the second", second);
    close(second);
    say("ready");
    accept_and_observe("accept from the third", third);
}
