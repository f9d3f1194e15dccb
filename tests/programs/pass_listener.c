// SPDX-License-Identifier: MIT
//
// Habit: sends its listener to another process, which was there before it (Node's cluster).
#include "tests/programs/observe.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static bool send_descriptor(int channel, int fd) {
    char byte = 'x', control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof(fd));
    return sendmsg(channel, &message, 0) == 1;
}

static int receive_descriptor(int channel) {
    char byte, control[CMSG_SPACE(sizeof(int))];
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    if (recvmsg(channel, &message, 0) != 1) return -1;
    int fd;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
    return fd;
}

int main(int count, char** arguments) {
    (void)count;
    const union socket_address address = address_from(arguments);
    int channel[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, channel) != 0) return 1;
    const pid_t child = fork();
    if (child == 0) {
        const int listener = receive_descriptor(channel[1]);
        union socket_address bound;
        socklen_t length = sizeof(bound);
        observe("getsockname", getsockname(listener, &bound.generic, &length));
        observe_address("received", &bound, length);
        observe_option("SO_TYPE", listener, SOL_SOCKET, SO_TYPE);
        observe("listen", listen(listener, 16));
        say("ready");
        accept_and_observe("accept", listener);
        return 0;
    }
    const int listener = new_listener(&address, 0);
    if (!send_descriptor(channel[0], listener)) return 1;
    close(listener);
    waitpid(child, NULL, 0);
}
