// SPDX-License-Identifier: MIT
//
// A web server in C, for builds with another libc: poll, accept4, and a thread for each client.
// Usage: musl_server PORT. Answers each client with the address that accept4 gave.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct client {
    int fd;
    struct sockaddr_in address;
};

static void* answer(void* argument) {
    struct client client = *(struct client*)argument;
    free(argument);
    char request[4096] = "", text[INET_ADDRSTRLEN], body[64], head[128];
    size_t size = 0;
    while (strstr(request, "\r\n\r\n") == NULL && size + 1 < sizeof(request)) {
        const ssize_t part = recv(client.fd, request + size, sizeof(request) - 1 - size, 0);
        if (part <= 0) break;
        size += (size_t)part;
    }
    inet_ntop(AF_INET, &client.address.sin_addr, text, sizeof(text));
    const int body_size =
        snprintf(body, sizeof(body), "%s %d\n", text, ntohs(client.address.sin_port));
    snprintf(head, sizeof(head),
             "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", body_size);
    dprintf(client.fd, "%s%s", head, body);
    close(client.fd);
    return NULL;
}

static void end(int number) {
    (void)number;
    _exit(0);
}

int main(int count, char** arguments) {
    if (count != 2) return 2;
    signal(SIGTERM, end);
    signal(SIGPIPE, SIG_IGN);
    const int one = 1;
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)atoi(arguments[1]))};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (bind(listener, (const struct sockaddr*)&address, sizeof(address)) != 0 ||
        listen(listener, 128) != 0) {
        perror("musl_server");
        return 1;
    }
    while (1) {
        struct pollfd readable = {.fd = listener, .events = POLLIN};
        if (poll(&readable, 1, -1) < 0) continue;
        struct client client;
        socklen_t length = sizeof(client.address);
        client.fd = accept4(listener, (struct sockaddr*)&client.address, &length, SOCK_CLOEXEC);
        if (client.fd < 0) continue;
        struct client* const copy = malloc(sizeof(client));
        *copy = client;
        pthread_t thread;
        if (pthread_create(&thread, NULL, answer, copy) != 0) return 1;
        pthread_detach(thread);
    }
}
