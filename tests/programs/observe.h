// SPDX-License-Identifier: MIT
//
// What the tiny servers share: each has one habit, and prints what it observes of its listener and
// its connections, a line each. The tests run it with and without libpreload and compare.
// Every program is called with HOST and PORT, prints "ready" each time a client may come, and a
// client is let go as soon as it has been looked at.
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

union socket_address {
    struct sockaddr generic;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
    char bytes[64];
};

// HOST and PORT of the command line; exits with 2 if they are not there.
union socket_address address_from(char** arguments);
socklen_t length_of(const union socket_address* address);

// A TCP socket of that family, not bound.
int new_socket(const union socket_address* address, int flags);
// socket, SO_REUSEADDR, bind and listen; exits with 1 if one of them fails.
int new_listener(const union socket_address* address, int flags);

// "name: 0", or "name: 3 is a descriptor" as "name: ok", or "name: -1 Invalid argument". Returns
// `outcome`.
int observe(const char* name, int outcome);
void observe_address(const char* name, const union socket_address* address, socklen_t length);
// O_NONBLOCK and FD_CLOEXEC.
void observe_flags(const char* name, int fd);
void observe_option(const char* name, int fd, int level, int option);
// As observe, then the flags, peer and local address of the accepted connection; says goodbye to
// the client and closes it.
void observe_connection(const char* name, int fd);

void say(const char* line);
// accept(2) with room for any address, observed.
void accept_and_observe(const char* name, int listener);
