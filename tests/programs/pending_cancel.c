// SPDX-License-Identifier: MIT
//
// Habit: a thread whose cancellation is pending binds, listens, sets options and asks for them, and
// starts a program: no cancellation points (pthreads(7)).
#include "tests/programs/observe.h"

#include <netinet/tcp.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static const union socket_address* address;
static int listener;
static const char* reached = "nothing";
static pid_t child;

static void* serve(void* unused) {
    (void)unused;
    pthread_cancel(pthread_self());
    listener = new_socket(address, 0);
    reached = "socket";
    if (bind(listener, &address->generic, length_of(address)) == 0) reached = "bind";
    if (listen(listener, 16) == 0) reached = "listen";
    int value = 1;
    socklen_t length = sizeof(value);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &value, length);
    setsockopt(listener, SOL_SOCKET, SO_TIMESTAMP, &value, length);
    getsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &value, &length);
    getsockopt(listener, SOL_SOCKET, SO_PROTOCOL, &value, &length);
    reached = "its options";
    char* const command[] = {(char*)"true", NULL};
    if (posix_spawnp(&child, command[0], NULL, NULL, command, environ) == 0)
        reached = "posix_spawn";
    pthread_testcancel();
    reached = "the end";
    return NULL;
}

int main(int count, char** arguments) {
    (void)count;
    const union socket_address wanted = address_from(arguments);
    address = &wanted;
    pthread_t thread;
    void* outcome = NULL;
    pthread_create(&thread, NULL, serve, NULL);
    pthread_join(thread, &outcome);
    printf("cancelled: %d\n", outcome == PTHREAD_CANCELED);
    printf("it has reached: %s\n", reached);
    int status = -1;
    waitpid(child, &status, 0);
    printf("the child ended with: %d\n", status);
    say("ready");
    accept_and_observe("accept", listener);
}
