// SPDX-License-Identifier: MIT
//
// Habit: executes itself with an environment of its own making, and the listener among its
// descriptors (nginx's binary upgrade, dovecot), or not (a CGI script). The arguments: the call,
// and whether the listener is "kept" or "closed" over it.
#include "tests/programs/observe.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char self[256], number[16];

static void wait_for(pid_t child) {
    int status = 0;
    waitpid(child, &status, 0);
    exit(WEXITSTATUS(status));
}

static void execute(const char* call, char** arguments) {
    char* words[] = {self, arguments[1], arguments[2], arguments[3], arguments[4], number, NULL};
    static char* scrubbed[] = {"HOME=/", "LANG=C", NULL};
    pid_t child = 0;
    if (strcmp(call, "execve") == 0) execve(self, words, scrubbed);
    if (strcmp(call, "execvpe") == 0) execvpe(self, words, scrubbed);
    if (strcmp(call, "fexecve") == 0) fexecve(open(self, O_RDONLY | O_CLOEXEC), words, scrubbed);
    if (strcmp(call, "execle") == 0)
        execle(self, self, words[1], words[2], words[3], words[4], number, NULL, scrubbed);
    if (strcmp(call, "posix_spawn") == 0 &&
        posix_spawn(&child, self, NULL, NULL, words, scrubbed) == 0)
        wait_for(child);
    if (strcmp(call, "posix_spawnp") == 0 &&
        posix_spawnp(&child, self, NULL, NULL, words, scrubbed) == 0)
        wait_for(child);
    if (strcmp(call, "vfork") == 0) {
        child = vfork();
        if (child == 0) {
            execve(self, words, scrubbed);
            _exit(1);
        }
        wait_for(child);
    }
    environ = scrubbed;
    if (strcmp(call, "execv") == 0) execv(self, words);
    if (strcmp(call, "execvp") == 0) execvp(self, words);
    if (strcmp(call, "execl") == 0)
        execl(self, self, words[1], words[2], words[3], words[4], number, NULL);
    if (strcmp(call, "execlp") == 0)
        execlp(self, self, words[1], words[2], words[3], words[4], number, NULL);
}

int main(int count, char** arguments) {
    const union socket_address address = address_from(arguments);
    if (count == 5) {
        const bool is_kept = strcmp(arguments[4], "kept") == 0;
        const ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
        if (length < 0) return 1;
        const int listener = new_listener(&address, is_kept ? 0 : SOCK_CLOEXEC);
        snprintf(number, sizeof(number), "%d", listener);
        execute(arguments[3], arguments);
        return 1;
    }
    const int listener = atoi(arguments[5]);
    printf("HOME is %s\n", getenv("HOME"));
    if (strcmp(arguments[4], "closed") == 0) {
        for (char** variable = environ; *variable != NULL; variable++)
            say(*variable);
        observe("accept", accept(listener, NULL, NULL));
        return 0;
    }
    observe_option("SO_ACCEPTCONN", listener, SOL_SOCKET, SO_ACCEPTCONN);
    say("ready");
    accept_and_observe("accept", listener);
}
