// SPDX-License-Identifier: MIT
//
// Habit: sees whether the port is free by binding and closing, then binds in earnest; binds what
// is bound already; and binds an address that is taken.
#include "tests/programs/observe.h"

#include <unistd.h>

static int try_to_bind(const char* name, int fd, const union socket_address* address) {
    return observe(name, bind(fd, &address->generic, length_of(address)));
}

int main(int count, char** arguments) {
    (void)count;
    const union socket_address address = address_from(arguments);
    const int probe = new_socket(&address, 0);
    try_to_bind("bind as a probe", probe, &address);
    try_to_bind("bind again", probe, &address);
    close(probe);
    const int listener = new_socket(&address, 0);
    try_to_bind("bind", listener, &address);
    observe("listen", listen(listener, 16));
    try_to_bind("bind after listen", listener, &address);

    const int second = new_socket(&address, 0);
    try_to_bind("bind a second socket", second, &address);
    union socket_address any = {.ipv4 = {.sin_family = AF_INET, .sin_port = address.ipv4.sin_port}};
    try_to_bind("bind the wildcard", second, &any);
    union socket_address any6 = {
        .ipv6 = {.sin6_family = AF_INET6, .sin6_port = address.ipv4.sin_port}};
    const int third = new_socket(&any6, 0);
    try_to_bind("bind the wildcard of both families", third, &any6);
    const int on = 1;
    setsockopt(third, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    try_to_bind("bind the IPv6 wildcard", third, &any6);
    observe("bind a pipe's number", bind(99, &address.generic, length_of(&address)));
    try_to_bind("bind with the wrong family", new_socket(&any6, 0), &any);
    say("ready");
    accept_and_observe("accept", listener);
}
