// SPDX-License-Identifier: MIT
//
// Habit: sets options on the listener and expects them on every connection (Apache, lighttpd).
// The argument says when: "before-bind", "after-bind" or "after-listen".
#include "tests/programs/observe.h"

#include <netinet/tcp.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static void set_int(int fd, int level, int option, int value) {
    observe("setsockopt", setsockopt(fd, level, option, &value, sizeof(value)));
}

static void set_options(int fd, bool is_ipv6) {
    const struct linger linger = {.l_onoff = 1, .l_linger = 7};
    const struct timeval timeout = {.tv_sec = 13, .tv_usec = 0};
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_int(fd, SOL_SOCKET, SO_RCVBUF, 70000);
    set_int(fd, SOL_SOCKET, SO_SNDBUF, 80000);
    observe("setsockopt", setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
    observe("setsockopt", setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)));
    observe("setsockopt", setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)));
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 101);
    set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, 23);
    set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 4);
    if (is_ipv6)
        set_int(fd, IPPROTO_IPV6, IPV6_TCLASS, 0x20);
    else
        set_int(fd, IPPROTO_IP, IP_TOS, 0x10);
}

static void observe_options(int fd, bool is_ipv6) {
    observe_option("SO_KEEPALIVE", fd, SOL_SOCKET, SO_KEEPALIVE);
    observe_option("SO_LINGER", fd, SOL_SOCKET, SO_LINGER);
    observe_option("SO_RCVBUF", fd, SOL_SOCKET, SO_RCVBUF);
    observe_option("SO_SNDBUF", fd, SOL_SOCKET, SO_SNDBUF);
    observe_option("SO_RCVTIMEO", fd, SOL_SOCKET, SO_RCVTIMEO);
    observe_option("SO_SNDTIMEO", fd, SOL_SOCKET, SO_SNDTIMEO);
    observe_option("SO_RCVLOWAT", fd, SOL_SOCKET, SO_RCVLOWAT);
    observe_option("TCP_NODELAY", fd, IPPROTO_TCP, TCP_NODELAY);
    observe_option("TCP_KEEPIDLE", fd, IPPROTO_TCP, TCP_KEEPIDLE);
    observe_option("TCP_KEEPINTVL", fd, IPPROTO_TCP, TCP_KEEPINTVL);
    observe_option("TCP_KEEPCNT", fd, IPPROTO_TCP, TCP_KEEPCNT);
    if (is_ipv6)
        observe_option("IPV6_TCLASS", fd, IPPROTO_IPV6, IPV6_TCLASS);
    else
        observe_option("IP_TOS", fd, IPPROTO_IP, IP_TOS);
}

int main(int count, char** arguments) {
    const union socket_address address = address_from(arguments);
    const bool is_ipv6 = address.generic.sa_family == AF_INET6;
    const char* when = count > 3 ? arguments[3] : "never";
    const int listener = new_socket(&address, 0);
    if (strcmp(when, "before-bind") == 0) set_options(listener, is_ipv6);
    observe("bind", bind(listener, &address.generic, length_of(&address)));
    if (strcmp(when, "after-bind") == 0) set_options(listener, is_ipv6);
    observe("listen", listen(listener, 16));
    if (strcmp(when, "after-listen") == 0) set_options(listener, is_ipv6);
    say("the listener");
    observe_options(listener, is_ipv6);
    say("ready");
    const int fd = accept(listener, NULL, NULL);
    say("the connection");
    observe_options(fd, is_ipv6);
    observe_connection("accept", fd);
}
