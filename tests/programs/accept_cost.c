// SPDX-License-Identifier: MIT
//
// Habit: counts what accept costs it: calls of malloc and its kin and of pthread_mutex_lock, which
// are this program's own here. Between the lines "begin" and "end" there is one accept, for a
// tracer of system calls. The argument: "accept", or "accept4" with SOCK_NONBLOCK.
#include "tests/programs/observe.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static volatile int allocations, locks;

void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* old, size_t size);
void __libc_free(void* memory);

void* malloc(size_t size) {
    allocations++;
    return __libc_malloc(size);
}

void* calloc(size_t count, size_t size) {
    allocations++;
    return __libc_calloc(count, size);
}

void* realloc(void* old, size_t size) {
    allocations++;
    return __libc_realloc(old, size);
}

void free(void* memory) {
    allocations++;
    __libc_free(memory);
}

int pthread_mutex_lock(pthread_mutex_t* mutex) {
    (void)mutex;
    locks++;
    return 0;
}

static void mark(const char* text) {
    if (write(STDOUT_FILENO, text, strlen(text)) < 0) _exit(1);
}

int main(int count, char** arguments) {
    const union socket_address address = address_from(arguments);
    const bool is_accept4 = count > 3 && strcmp(arguments[3], "accept4") == 0;
    const int listener = new_listener(&address, 0);
    for (int client = 0; client < 3; client++) {
        union socket_address peer;
        socklen_t length = sizeof(peer);
        say("ready");
        char go;
        if (read(STDIN_FILENO, &go, 1) != 1) return 1;  // the client is in the queue
        mark("begin\n");
        const int allocations_before = allocations, locks_before = locks;
        const int fd = is_accept4
                           ? accept4(listener, &peer.generic, &length, SOCK_NONBLOCK | SOCK_CLOEXEC)
                           : accept(listener, &peer.generic, &length);
        const int allocations_after = allocations, locks_after = locks;
        mark("end\n");
        printf("allocations: %d, locks: %d\n", allocations_after - allocations_before,
               locks_after - locks_before);
        observe_connection("accept", fd);
    }
    printf("it does count: %s\n", allocations > 0 ? "yes" : "no");
}
