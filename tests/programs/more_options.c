// SPDX-License-Identifier: MIT
//
// Habit: sets the less usual options, reads them back, and expects them on every connection.
#include "tests/programs/observe.h"

#include <linux/filter.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char* name;
    int level, option, value;
    bool is_ipv6;
} options[] = {
    {"TCP_CORK", IPPROTO_TCP, TCP_CORK, 1, false},
    {"TCP_USER_TIMEOUT", IPPROTO_TCP, TCP_USER_TIMEOUT, 12345, false},
    {"TCP_LINGER2", IPPROTO_TCP, TCP_LINGER2, 7, false},
    {"TCP_NOTSENT_LOWAT", IPPROTO_TCP, TCP_NOTSENT_LOWAT, 16384, false},
    {"TCP_DEFER_ACCEPT", IPPROTO_TCP, TCP_DEFER_ACCEPT, 1, false},
    {"TCP_FASTOPEN", IPPROTO_TCP, TCP_FASTOPEN, 5, false},
    {"TCP_SYNCNT", IPPROTO_TCP, TCP_SYNCNT, 3, false},
    {"IP_TTL", IPPROTO_IP, IP_TTL, 61, false},
    {"IP_TOS", IPPROTO_IP, IP_TOS, 0x10, false},
    {"IP_RECVTOS", IPPROTO_IP, IP_RECVTOS, 1, false},
    {"IP_MTU_DISCOVER", IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO, false},
    {"IP_FREEBIND", IPPROTO_IP, IP_FREEBIND, 1, false},
    {"IPV6_UNICAST_HOPS", IPPROTO_IPV6, IPV6_UNICAST_HOPS, 62, true},
    {"IPV6_TCLASS", IPPROTO_IPV6, IPV6_TCLASS, 0x20, true},
    {"IPV6_RECVTCLASS", IPPROTO_IPV6, IPV6_RECVTCLASS, 1, true},
    {"SO_OOBINLINE", SOL_SOCKET, SO_OOBINLINE, 1, false},
    {"SO_PRIORITY", SOL_SOCKET, SO_PRIORITY, 5, false},
    {"SO_MAX_PACING_RATE", SOL_SOCKET, SO_MAX_PACING_RATE, 1000000, false},
    {"SO_ZEROCOPY", SOL_SOCKET, SO_ZEROCOPY, 1, false},
    {"SO_TIMESTAMP", SOL_SOCKET, SO_TIMESTAMP, 1, false},
};
static const size_t option_count = sizeof(options) / sizeof(options[0]);

// Options that mean something to a listener alone are not asked of a connection.
static bool is_of_listener(size_t i) {
    const int option = options[i].option;
    return options[i].level == IPPROTO_TCP &&
           (option == TCP_DEFER_ACCEPT || option == TCP_FASTOPEN || option == TCP_SYNCNT);
}

static void ask_all(const char* whom, int fd, bool is_ipv6, bool is_connection) {
    say(whom);
    for (size_t i = 0; i < option_count; i++) {
        if ((options[i].is_ipv6 && !is_ipv6) || (is_connection && is_of_listener(i))) continue;
        observe_option(options[i].name, fd, options[i].level, options[i].option);
    }
    char congestion[16] = "";
    socklen_t length = sizeof(congestion);
    observe("TCP_CONGESTION", getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, &length));
    printf("it is %s\n", congestion);
}

static void filter(const char* name, int fd) {
    struct sock_filter all[] = {BPF_STMT(BPF_RET | BPF_K, 0xffffffff)};
    const struct sock_fprog program = {1, all};
    const int zero = 0;
    say(name);
    observe("attach", setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)));
    observe("detach", setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &zero, sizeof(zero)));
}

int main(int count, char** arguments) {
    const union socket_address address = address_from(arguments);
    const bool is_ipv6 = address.generic.sa_family == AF_INET6;
    const bool is_early = count > 3 && strcmp(arguments[3], "before-bind") == 0;
    const int listener = new_socket(&address, 0);
    if (!is_early) observe("bind", bind(listener, &address.generic, length_of(&address)));
    for (size_t i = 0; i < option_count; i++) {
        if (options[i].is_ipv6 && !is_ipv6) continue;
        observe(options[i].name, setsockopt(listener, options[i].level, options[i].option,
                                            &options[i].value, sizeof(int)));
    }
    observe("TCP_CONGESTION", setsockopt(listener, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
    if (is_early) observe("bind", bind(listener, &address.generic, length_of(&address)));
    observe("listen", listen(listener, 16));
    filter("a filter on the listener", listener);
    ask_all("the listener", listener, is_ipv6, false);
    const int at_once = 0;
    setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &at_once, sizeof(at_once));
    say("ready");
    const int fd = accept(listener, NULL, NULL);
    ask_all("the connection", fd, is_ipv6, true);
    observe_connection("accept", fd);
}
