// SPDX-License-Identifier: MIT
//
// Habit: hands bind(2) addresses that can't be read, or lengths and families that can't be.
#include "tests/programs/observe.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void try_bind(const char* name, const union socket_address* like, const void* address,
                     socklen_t length) {
    const int fd = new_socket(like, 0);
    observe(name, bind(fd, address, length));
    close(fd);
}

int main(int count, char** arguments) {
    (void)count;
    const union socket_address address = address_from(arguments);
    const socklen_t length = length_of(&address);
    const long page = sysconf(_SC_PAGESIZE);
    char* const pages =
        mmap(NULL, (size_t)page * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(pages + page, (size_t)page, PROT_NONE);
    char* const torn = pages + page - 4;
    memcpy(torn, &address, 4);

    try_bind("null", &address, NULL, length);
    try_bind("in the first page", &address, (const void*)(uintptr_t)8, length);  // NOLINT
    try_bind("at the end of everything", &address, (const void*)(uintptr_t)-8, length);
    try_bind("in part", &address, torn, length);
    try_bind("null, of no length", &address, NULL, 0);
    try_bind("of no length", &address, &address, 0);
    try_bind("too short", &address, &address, 8);
    try_bind("too long", &address, &address, 300);
    try_bind("of a negative length", &address, &address, (socklen_t)-1);
    union socket_address unspecified = address;
    unspecified.generic.sa_family = AF_UNSPEC;
    try_bind("of no family", &address, &unspecified, length);
    char* const at_the_end = pages + page - length;
    memcpy(at_the_end, &address, length);
    const int listener = new_socket(&address, 0);
    observe("the last that can be read", bind(listener, (struct sockaddr*)at_the_end, length));
    observe("listen", listen(listener, 16));
    say("ready");
    accept_and_observe("accept", listener);
}
