// SPDX-License-Identifier: MIT
//
// Habit: odd arguments of accept: no address, too little room for it, none, and too much.
#include "tests/programs/observe.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void accept_into(int listener, socklen_t room) {
    union socket_address address;
    memset(&address, 0x55, sizeof(address));
    socklen_t length = room;
    say("ready");
    const int fd = accept(listener, &address.generic, &length);
    printf("with room for %d: length %d, then", (int)room, (int)length);
    for (socklen_t i = 0; i < 32; i++) {
        // The client's port is another one in each run.
        if ((i == 2 || i == 3) && i < room)
            printf(" port");
        else
            printf(" %02x", (unsigned)(unsigned char)address.bytes[i]);
    }
    printf("\n");
    observe_connection("accept", fd);
}

int main(int count, char** arguments) {
    (void)count;
    const union socket_address address = address_from(arguments);
    const int listener = new_listener(&address, 0);
    say("ready");
    observe_connection("accept without an address", accept(listener, NULL, NULL));
    socklen_t length = 77;
    say("ready");
    observe_connection("accept with a length alone", accept(listener, NULL, &length));
    printf("that length: %u\n", length);
    accept_into(listener, 0);
    accept_into(listener, 2);
    accept_into(listener, 8);
    accept_into(listener, length_of(&address));
    accept_into(listener, sizeof(union socket_address));
    // What happens to this client differs: TCP loses it, libpreload does not.
    say("ready");
    length = (socklen_t)-1;
    struct pollfd query = {.fd = listener, .events = POLLIN};
    poll(&query, 1, -1);
    union socket_address unused;
    observe("accept with a negative length", accept(listener, &unused.generic, &length));
}
