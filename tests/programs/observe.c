// SPDX-License-Identifier: MIT
#include "tests/programs/observe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

union socket_address address_from(char** arguments) {
    union socket_address address;
    memset(&address, 0, sizeof(address));
    if (arguments[1] == NULL || arguments[2] == NULL) exit(2);
    const in_port_t port = htons((in_port_t)atoi(arguments[2]));
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (inet_pton(AF_INET, arguments[1], &address.ipv4.sin_addr) == 1) {
        address.ipv4.sin_family = AF_INET;
        address.ipv4.sin_port = port;
    } else if (inet_pton(AF_INET6, arguments[1], &address.ipv6.sin6_addr) == 1) {
        address.ipv6.sin6_family = AF_INET6;
        address.ipv6.sin6_port = port;
    } else {
        exit(2);
    }
    return address;
}

socklen_t length_of(const union socket_address* address) {
    return address->generic.sa_family == AF_INET ? sizeof(address->ipv4) : sizeof(address->ipv6);
}

int new_socket(const union socket_address* address, int flags) {
    const int fd = socket(address->generic.sa_family, SOCK_STREAM | flags, 0);
    if (fd < 0) exit(1);
    return fd;
}

int new_listener(const union socket_address* address, int flags) {
    const int fd = new_socket(address, flags);
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, &address->generic, length_of(address)) != 0 || listen(fd, 16) != 0) {
        perror("new_listener");
        exit(1);
    }
    return fd;
}

int observe(const char* name, int outcome) {
    if (outcome < 0)
        printf("%s: -1 %s\n", name, strerror(errno));
    else if (outcome == 0)
        printf("%s: 0\n", name);
    else
        printf("%s: ok\n", name);
    return outcome;
}

void observe_address(const char* name, const union socket_address* address, socklen_t length) {
    char host[INET6_ADDRSTRLEN] = "?";
    if (address->generic.sa_family == AF_INET) {
        inet_ntop(AF_INET, &address->ipv4.sin_addr, host, sizeof(host));
        printf("%s: %s port %d, length %u\n", name, host, ntohs(address->ipv4.sin_port), length);
    } else if (address->generic.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &address->ipv6.sin6_addr, host, sizeof(host));
        printf("%s: [%s] port %d, length %u\n", name, host, ntohs(address->ipv6.sin6_port), length);
    } else {
        printf("%s: family %d, length %u\n", name, address->generic.sa_family, length);
    }
}

void observe_flags(const char* name, int fd) {
    printf("%s: %s, %s\n", name, fcntl(fd, F_GETFL) & O_NONBLOCK ? "non-blocking" : "blocking",
           fcntl(fd, F_GETFD) & FD_CLOEXEC ? "close-on-exec" : "kept over exec");
}

void observe_option(const char* name, int fd, int level, int option) {
    int value[4] = {0};
    socklen_t length = sizeof(value);
    if (getsockopt(fd, level, option, value, &length) != 0) {
        observe(name, -1);
        return;
    }
    printf("%s:", name);
    for (socklen_t i = 0; i < length / sizeof(int); i++)
        printf(" %d", value[i]);
    printf(", length %u\n", length);
}

void observe_connection(const char* name, int fd) {
    if (observe(name, fd) < 0) return;
    union socket_address address;
    socklen_t length = sizeof(address);
    observe_flags("  flags", fd);
    if (observe("  getpeername", getpeername(fd, &address.generic, &length)) == 0)
        observe_address("  peer", &address, length);
    length = sizeof(address);
    if (observe("  getsockname", getsockname(fd, &address.generic, &length)) == 0)
        observe_address("  local", &address, length);
    if (write(fd, "bye\n", 4) != 4) say("  write failed");
    close(fd);
}

void say(const char* line) {
    puts(line);
}

void accept_and_observe(const char* name, int listener) {
    union socket_address address;
    socklen_t length = sizeof(address);
    errno = 0;
    const int fd = accept(listener, &address.generic, &length);
    if (fd >= 0) {
        printf("errno after %s: %d\n", name, errno);
        observe_address("address", &address, length);
    }
    observe_connection(name, fd);
}
