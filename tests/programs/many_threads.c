// SPDX-License-Identifier: MIT
//
// Habit: 64 threads sit in accept on one listener (servers with a thread for each connection).
#include "tests/programs/observe.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ThreadCount = 64, ClientCount = 96 };

static int listener;
static atomic_int served, ended, troubles;

static void* serve(void* unused) {
    (void)unused;
    while (true) {
        union socket_address peer;
        socklen_t length = sizeof(peer);
        const int fd = accept(listener, &peer.generic, &length);
        if (fd < 0) {
            if (errno == EINVAL) ended++;
            return NULL;
        }
        union socket_address same;
        socklen_t same_length = sizeof(same);
        if (getpeername(fd, &same.generic, &same_length) != 0 || same_length != length ||
            memcmp(&same, &peer, length) != 0 || write(fd, "bye\n", 4) != 4)
            troubles++;
        close(fd);
        if (++served == ClientCount) shutdown(listener, SHUT_RDWR);
    }
}

int main(int count, char** arguments) {
    (void)count;
    const union socket_address address = address_from(arguments);
    listener = new_listener(&address, 0);
    observe("listen", listen(listener, ClientCount));
    pthread_t threads[ThreadCount];
    for (int i = 0; i < ThreadCount; i++)
        pthread_create(&threads[i], NULL, serve, NULL);
    for (int client = 0; client < ClientCount; client++)
        say("ready");
    for (int i = 0; i < ThreadCount; i++)
        pthread_join(threads[i], NULL);
    printf("served: %d, ended: %d, troubles: %d\n", served, ended, troubles);
}
