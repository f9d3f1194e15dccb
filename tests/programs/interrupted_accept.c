// SPDX-License-Identifier: MIT
//
// Habit: a listener with SO_RCVTIMEO, and signals while it waits: with and without SA_RESTART.
#include "tests/programs/observe.h"

#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static void on_alarm(int number) {
    (void)number;
    if (write(STDOUT_FILENO, "ready\n", 6) != 6) _exit(1);
}

static void alarm_soon(int flags) {
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_alarm;
    action.sa_flags = flags;
    sigaction(SIGALRM, &action, NULL);
    const struct itimerval soon = {.it_value = {.tv_usec = 50000}};
    setitimer(ITIMER_REAL, &soon, NULL);
}

int main(int count, char** arguments) {
    (void)count;
    const union socket_address address = address_from(arguments);
    const int listener = new_listener(&address, 0);
    alarm_soon(0);
    observe("accept interrupted", accept(listener, NULL, NULL));
    accept_and_observe("accept after it", listener);
    alarm_soon(SA_RESTART);
    accept_and_observe("accept that goes on", listener);

    const struct timeval timeout = {.tv_usec = 50000};
    setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    observe("accept that times out", accept(listener, NULL, NULL));
    say("ready");
    accept_and_observe("accept in time", listener);
}
