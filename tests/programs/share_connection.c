// SPDX-License-Identifier: MIT
//
// Habit: asks for a connection's addresses long after accept: of a duplicate, in a child, with
// little room for the answer, and in the program that it executes (sshd, inetd).
#include "tests/programs/observe.h"

#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void ask_with_room(const char* name, int fd, socklen_t room,
                          int (*ask)(int, struct sockaddr*, socklen_t*)) {
    union socket_address address;
    memset(&address, 0, sizeof(address));
    socklen_t length = room;
    observe(name, ask(fd, &address.generic, &length));
    printf("length %u, family %d, nothing behind the room: %s\n", length, address.generic.sa_family,
           address.bytes[room] == 0 ? "yes" : "no");
}

static void ask(const char* when, int fd) {
    union socket_address address;
    socklen_t length = sizeof(address);
    say(when);
    if (observe("getpeername", getpeername(fd, &address.generic, &length)) == 0)
        observe_address("peer", &address, length);
    length = sizeof(address);
    if (observe("getsockname", getsockname(fd, &address.generic, &length)) == 0)
        observe_address("local", &address, length);
    ask_with_room("getpeername with room for the family", fd, 2, getpeername);
    ask_with_room("getsockname with room for the family", fd, 2, getsockname);
    ask_with_room("getpeername with room for the port", fd, 4, getpeername);
    observe("getpeername without room", getpeername(fd, &address.generic, NULL) != 0 ? 1 : 0);
}

int main(int count, char** arguments) {
    const union socket_address address = address_from(arguments);
    if (count == 5) {
        ask("executed", atoi(arguments[4]));
        return 0;
    }
    const int listener = new_listener(&address, 0);
    say("ready");
    union socket_address peer;
    socklen_t length = sizeof(peer);
    const int fd = accept(listener, &peer.generic, &length);
    observe_address("accept's", &peer, length);
    ask("accepted", fd);
    const int copy = dup(fd);
    close(fd);
    ask("duplicate", copy);
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        ask("child", copy);
        return 0;
    }
    waitpid(child, NULL, 0);
    fflush(stdout);
    char number[16];
    snprintf(number, sizeof(number), "%d", copy);
    execl("/proc/self/exe", arguments[0], arguments[1], arguments[2], "-", number, NULL);
    return 1;
}
