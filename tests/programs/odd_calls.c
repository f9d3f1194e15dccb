// SPDX-License-Identifier: MIT
//
// Habit: calls on a listener that have no place there: reads (squid, as it ends), writes, binds it
// again, asks how much there is to read.
#include "tests/programs/observe.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int count, char** arguments) {
    (void)count;
    const union socket_address address = address_from(arguments);
    const int listener = new_listener(&address, 0);
    union socket_address peer;
    socklen_t length = sizeof(peer);
    char bytes[16];
    int amount = -1;
    struct stat status;

    observe("getpeername", getpeername(listener, &peer.generic, &length));
    observe("bind again", bind(listener, &address.generic, length_of(&address)));
    observe("fstat", fstat(listener, &status));
    printf("is a socket: %d\n", S_ISSOCK(status.st_mode));
    observe("lseek", (int)lseek(listener, 0, SEEK_CUR));
    observe("listen with a negative backlog", listen(listener, -1));
    observe("listen with none", listen(listener, 0));
    observe("isatty", isatty(listener) ? 1 : -1);
    observe("recv", (int)recv(listener, bytes, sizeof(bytes), MSG_DONTWAIT));
    observe("send", (int)send(listener, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL));
    observe("connect", connect(listener, &address.generic, length_of(&address)));
    observe("FIONREAD", ioctl(listener, FIONREAD, &amount));
    observe("TIOCOUTQ", ioctl(listener, TIOCOUTQ, &amount));
    struct pollfd query = {.fd = listener, .events = POLLOUT};
    printf("poll for POLLOUT: %d\n", poll(&query, 1, 0));
    observe("accept4 with unknown flags", accept4(listener, NULL, NULL, 0x12345));
    observe("listen", listen(listener, 16));
    say("ready");
    accept_and_observe("accept", listener);
}
