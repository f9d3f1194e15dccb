// SPDX-License-Identifier: MIT
//
// Habit: asks and tells its listener everything, before bind, after it and after listen.
#include "tests/programs/observe.h"

#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

static void ask_everything(const char* phase, int fd) {
    union socket_address address;
    socklen_t length = sizeof(address);
    say(phase);
    if (observe("getsockname", getsockname(fd, &address.generic, &length)) == 0)
        observe_address("bound to", &address, length);
    length = 4;
    observe("getsockname with little room", getsockname(fd, &address.generic, &length));
    printf("its length: %u\n", length);
    observe("getpeername", getpeername(fd, &address.generic, &length));

    observe_option("SO_TYPE", fd, SOL_SOCKET, SO_TYPE);
    observe_option("SO_DOMAIN", fd, SOL_SOCKET, SO_DOMAIN);
    observe_option("SO_PROTOCOL", fd, SOL_SOCKET, SO_PROTOCOL);
    observe_option("SO_ACCEPTCONN", fd, SOL_SOCKET, SO_ACCEPTCONN);
    observe_option("SO_ERROR", fd, SOL_SOCKET, SO_ERROR);
    observe_option("SO_REUSEADDR", fd, SOL_SOCKET, SO_REUSEADDR);
    observe_option("SO_REUSEPORT", fd, SOL_SOCKET, SO_REUSEPORT);
    observe_option("SO_KEEPALIVE", fd, SOL_SOCKET, SO_KEEPALIVE);
    observe_option("SO_LINGER", fd, SOL_SOCKET, SO_LINGER);
    observe_option("SO_RCVBUF", fd, SOL_SOCKET, SO_RCVBUF);
    observe_option("SO_SNDBUF", fd, SOL_SOCKET, SO_SNDBUF);
    observe_option("SO_RCVLOWAT", fd, SOL_SOCKET, SO_RCVLOWAT);
    observe_option("SO_PRIORITY", fd, SOL_SOCKET, SO_PRIORITY);
    observe_option("SO_MAX_PACING_RATE", fd, SOL_SOCKET, SO_MAX_PACING_RATE);
    observe_option("TCP_NODELAY", fd, IPPROTO_TCP, TCP_NODELAY);
    observe_option("TCP_MAXSEG", fd, IPPROTO_TCP, TCP_MAXSEG);
    observe_option("TCP_CORK", fd, IPPROTO_TCP, TCP_CORK);
    observe_option("TCP_KEEPIDLE", fd, IPPROTO_TCP, TCP_KEEPIDLE);
    observe_option("TCP_KEEPINTVL", fd, IPPROTO_TCP, TCP_KEEPINTVL);
    observe_option("TCP_KEEPCNT", fd, IPPROTO_TCP, TCP_KEEPCNT);
    observe_option("an option of TCP that doesn't exist", fd, IPPROTO_TCP, 9999);
    observe_option("IP_TTL", fd, IPPROTO_IP, IP_TTL);
    observe_option("IP_TOS", fd, IPPROTO_IP, IP_TOS);
    observe_option("IP_RECVTOS", fd, IPPROTO_IP, IP_RECVTOS);
    observe_option("IPV6_V6ONLY", fd, IPPROTO_IPV6, IPV6_V6ONLY);
    observe_option("IPV6_TCLASS", fd, IPPROTO_IPV6, IPV6_TCLASS);

    struct tcp_info info;
    length = sizeof(info);
    if (observe("TCP_INFO", getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length)) == 0)
        printf("tcpi_state: %d, length %u\n", info.tcpi_state, length);
    uint8_t type = 99;
    length = 1;
    observe("SO_TYPE into one byte", getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length));
    printf("that byte: %d, length %u\n", type, length);
}

static void set_int(const char* name, int fd, int level, int option, int value) {
    observe(name, setsockopt(fd, level, option, &value, sizeof(value)));
}

static void set_everything(int fd, bool is_ipv6) {
    set_int("set SO_KEEPALIVE", fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_int("set SO_RCVBUF", fd, SOL_SOCKET, SO_RCVBUF, 65536);
    set_int("set SO_MAX_PACING_RATE", fd, SOL_SOCKET, SO_MAX_PACING_RATE, -1);
    set_int("set TCP_NODELAY", fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_int("set TCP_KEEPIDLE", fd, IPPROTO_TCP, TCP_KEEPIDLE, 77);
    set_int("set TCP_KEEPIDLE beyond its range", fd, IPPROTO_TCP, TCP_KEEPIDLE, 40000);
    set_int("set TCP_DEFER_ACCEPT", fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 1);
    set_int("set TCP_FASTOPEN", fd, IPPROTO_TCP, TCP_FASTOPEN, 5);
    set_int("set TCP_QUICKACK", fd, IPPROTO_TCP, TCP_QUICKACK, 0);
    if (is_ipv6)
        set_int("set IPV6_TCLASS", fd, IPPROTO_IPV6, IPV6_TCLASS, 0x10);
    else
        set_int("set IP_TOS", fd, IPPROTO_IP, IP_TOS, 0x10);
    set_int("set IP_FREEBIND", fd, IPPROTO_IP, IP_FREEBIND, 1);
    set_int("set IPV6_V6ONLY", fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    set_int("set an option of TCP that doesn't exist", fd, IPPROTO_TCP, 9999, 1);
    observe("set TCP_NODELAY from one byte", setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, "1", 1));
}

int main(int count, char** arguments) {
    (void)count;
    const union socket_address address = address_from(arguments);
    const int fd = new_socket(&address, 0);
    ask_everything("not bound", fd);
    observe("bind", bind(fd, &address.generic, length_of(&address)));
    ask_everything("bound", fd);
    observe("listen", listen(fd, 16));
    ask_everything("listening", fd);
    set_everything(fd, address.generic.sa_family == AF_INET6);
    ask_everything("after setting options", fd);
    observe("shutdown", shutdown(fd, SHUT_RDWR));
    observe("accept after shutdown", accept(fd, NULL, NULL));
}
