// SPDX-License-Identifier: MIT
//
// Habit: as root, binds, leaves the file system (chroot) and becomes nobody, and only then listens
// and accepts (squid, dovecot, vsftpd). The argument is a directory for its root.
#include "tests/programs/observe.h"

#include <grp.h>
#include <stdio.h>
#include <unistd.h>

int main(int count, char** arguments) {
    const union socket_address address = address_from(arguments);
    if (count < 4) return 2;
    const int listener = new_socket(&address, 0);
    observe("bind", bind(listener, &address.generic, length_of(&address)));
    observe("chroot", chroot(arguments[3]));
    observe("chdir", chdir("/"));
    observe("setgroups", setgroups(0, NULL));
    observe("setresgid", setresgid(65534, 65534, 65534));
    observe("setresuid", setresuid(65534, 65534, 65534));
    observe("open", access("/proc", F_OK));
    observe("listen", listen(listener, 16));
    const int on = 1;
    observe("SO_KEEPALIVE", setsockopt(listener, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)));
    say("ready");
    accept_and_observe("accept", listener);
}
