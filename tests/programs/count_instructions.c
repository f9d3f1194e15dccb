// SPDX-License-Identifier: MIT
//
// count_instructions PID: steps through a process, one instruction at a time, until SIGTERM, lets
// it go, and prints how many there were outside the kernel. Says "counting" when it has begun. For
// machines (virtual ones) whose processor's counters can't be had, and for processes in a sandbox:
// the kernel does the stepping.
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/wait.h>

static volatile sig_atomic_t must_stop;

static void stop(int number) {
    (void)number;
    must_stop = 1;
}

static void look_again(int number) {
    (void)number;
}

static void fail(const char* what) {
    perror(what);
    exit(1);
}

// Both on one processor: neither waits for another one to wake up at each step.
static void share_processor(pid_t pid, cpu_set_t* before) {
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET((size_t)sched_getcpu(), &here);
    if (sched_getaffinity(pid, sizeof *before, before) != 0 ||
        sched_setaffinity(0, sizeof here, &here) != 0 ||
        sched_setaffinity(pid, sizeof here, &here) != 0)
        fail("sched_setaffinity");
}

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    const pid_t pid = atoi(argv[1]);
    cpu_set_t before;
    share_processor(pid, &before);
    const struct sigaction action = {.sa_handler = stop};  // without SA_RESTART
    sigaction(SIGTERM, &action, NULL);
    // SIGTERM may come when we have looked for it, but don't sleep yet: look again now and then.
    const struct sigaction look_again_action = {.sa_handler = look_again};
    sigaction(SIGALRM, &look_again_action, NULL);
    const struct itimerval interval = {{0, 100000}, {0, 100000}};
    setitimer(ITIMER_REAL, &interval, NULL);
    if (ptrace(PTRACE_SEIZE, pid, 0, 0) != 0) fail("ptrace");
    ptrace(PTRACE_INTERRUPT, pid, 0, 0);
    int status;
    if (waitpid(pid, &status, 0) != pid) fail("waitpid");
    puts("counting");
    fflush(stdout);
    long count = 0;
    int has_interrupted = 0;
    while (1) {
        if (must_stop && !has_interrupted) {
            // It may sleep in a system call now, and would never come to an end of its step.
            ptrace(PTRACE_INTERRUPT, pid, 0, 0);
            has_interrupted = 1;
        }
        const int number = WSTOPSIG(status);
        const int is_step = number == SIGTRAP && status >> 16 == 0;
        const int is_event = status >> 16 != 0;
        if (is_step) count++;
        if (has_interrupted && is_event) break;
        if (ptrace(PTRACE_SINGLESTEP, pid, 0, is_step || is_event ? 0 : number) != 0)
            fail("ptrace step");
        while (waitpid(pid, &status, 0) != pid) {
            if (errno != EINTR) fail("waitpid");
            if (must_stop && !has_interrupted) {
                ptrace(PTRACE_INTERRUPT, pid, 0, 0);
                has_interrupted = 1;
            }
        }
        if (!WIFSTOPPED(status)) {
            fprintf(stderr, "the process has ended\n");
            return 1;
        }
    }
    // The trap of its last step may be on its way still, and would end it when we have gone: it
    // runs until the next alarm, and traps are taken from it.
    ptrace(PTRACE_CONT, pid, 0, 0);
    while (waitpid(pid, &status, 0) == pid) {
        const int number = WSTOPSIG(status);
        ptrace(PTRACE_CONT, pid, 0, number == SIGTRAP ? 0 : number);
    }
    ptrace(PTRACE_INTERRUPT, pid, 0, 0);
    while (waitpid(pid, &status, 0) != pid) {
    }
    ptrace(PTRACE_DETACH, pid, 0, 0);
    sched_setaffinity(pid, sizeof before, &before);
    printf("%ld\n", count);
    return 0;
}
