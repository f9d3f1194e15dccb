// SPDX-License-Identifier: MIT
//
// Habit: asks for a signal when a client comes (O_ASYNC), before it binds, and waits for nothing
// else.
#include "tests/programs/observe.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

int main(int count, char** arguments) {
    (void)count;
    const union socket_address address = address_from(arguments);
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &signals, NULL);

    const int listener = new_socket(&address, 0);
    observe("F_SETOWN", fcntl(listener, F_SETOWN, getpid()));
    observe("F_SETSIG", fcntl(listener, F_SETSIG, SIGRTMIN));
    observe("F_SETFL", fcntl(listener, F_SETFL, O_ASYNC | O_NONBLOCK));
    observe("bind", bind(listener, &address.generic, length_of(&address)));
    observe("listen", listen(listener, 16));
    printf("it is for this process: %d\n", fcntl(listener, F_GETOWN) == getpid());
    printf("with this signal: %d\n", fcntl(listener, F_GETSIG) == SIGRTMIN);
    printf("flags: %#x\n", (unsigned)fcntl(listener, F_GETFL));
    say("ready");

    siginfo_t info;
    observe("a signal came", sigwaitinfo(&signals, &info) == SIGRTMIN ? 0 : -1);
    printf("of the listener: %d\n", info.si_fd == listener);
    accept_and_observe("accept", listener);
}
