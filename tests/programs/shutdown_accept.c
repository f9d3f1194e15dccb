// SPDX-License-Identifier: MIT
//
// Habit: one thread sits in accept, another one ends it by shutdown (Python, Ruby, C++ servers).
#include "tests/programs/observe.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int listener;
static atomic_long acceptor_id;

static void* sit_in_accept(void* unused) {
    (void)unused;
    acceptor_id = syscall(SYS_gettid);
    accept_and_observe("blocked accept", listener);
    accept_and_observe("next accept", listener);
    return NULL;
}

static bool sleeps(long thread_id) {
    char path[64], text[256] = "";
    snprintf(path, sizeof(path), "/proc/self/task/%ld/stat", thread_id);
    FILE* file = fopen(path, "r");
    if (file == NULL) return false;
    const bool is_read = fgets(text, sizeof(text), file) != NULL;
    fclose(file);
    return is_read && strstr(text, ") S") != NULL;
}

int main(int count, char** arguments) {
    (void)count;
    const union socket_address address = address_from(arguments);
    listener = new_listener(&address, 0);
    pthread_t thread;
    pthread_create(&thread, NULL, sit_in_accept, NULL);
    while (acceptor_id == 0 || !sleeps(acceptor_id))
        sched_yield();
    const int outcome = shutdown(listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    observe("shutdown", outcome);
}
