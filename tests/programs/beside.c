// SPDX-License-Identifier: MIT
//
// Another library to be preloaded, beside libpreload: it wraps bind and accept itself, and its
// constructor may run before libpreload's. In a program with a descriptor's number as its third
// argument (exec_listener) it opens the listener there, before main.
#include "tests/programs/observe.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int binds, accepts;

int bind(int fd, __CONST_SOCKADDR_ARG address, socklen_t length) {
    int (*next)(int, __CONST_SOCKADDR_ARG, socklen_t);
    *(void**)&next = dlsym(RTLD_NEXT, "bind");
    binds++;
    return next(fd, address, length);
}

int accept(int fd, __SOCKADDR_ARG address, socklen_t* length) {
    int (*next)(int, __SOCKADDR_ARG, socklen_t*);
    *(void**)&next = dlsym(RTLD_NEXT, "accept");
    accepts++;
    return next(fd, address, length);
}

__attribute__((constructor)) static void start(int count, char** arguments) {
    if (count < 4) return;
    const union socket_address address = address_from(arguments);
    const int listener = new_listener(&address, 0);
    dup2(listener, atoi(arguments[3]));
    close(listener);
}

__attribute__((destructor)) static void end(void) {
    printf("the library beside saw %s, %s\n", accepts == 1 ? "one accept" : "not one accept",
           binds > 1 ? "several binds" : "one bind or none");
}
