// SPDX-License-Identifier: MIT
//
// Habit: two listeners of one address with SO_REUSEPORT, as one per worker; then one without.
#include "tests/programs/observe.h"

#include <poll.h>
#include <unistd.h>

static int new_reusing(const union socket_address* address) {
    const int fd = new_socket(address, 0);
    const int on = 1;
    observe("SO_REUSEPORT", setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)));
    observe("bind", bind(fd, &address->generic, length_of(address)));
    observe("SO_REUSEPORT once more", setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)));
    observe_option("SO_REUSEPORT reads", fd, SOL_SOCKET, SO_REUSEPORT);
    observe("listen", listen(fd, 16));
    return fd;
}

int main(int count, char** arguments) {
    (void)count;
    const union socket_address address = address_from(arguments);
    struct pollfd listeners[2] = {{.fd = new_reusing(&address), .events = POLLIN},
                                  {.fd = new_reusing(&address), .events = POLLIN}};
    const int third = new_socket(&address, 0);
    observe("bind without SO_REUSEPORT", bind(third, &address.generic, length_of(&address)));
    for (int i = 0; i < 4; i++) {
        say("ready");
        poll(listeners, 2, -1);
        accept_and_observe("accept", listeners[listeners[0].revents != 0 ? 0 : 1].fd);
    }
}
