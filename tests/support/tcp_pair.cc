// SPDX-License-Identifier: MIT
#include "tests/support/tcp_pair.h"

#include <assert.h>

namespace proxyd::test {
namespace {

SocketAddress loopback(sa_family_t family) {
    return *SocketAddress::parse_host(family == AF_INET ? "127.0.0.1" : "::1", 0);
}

UniqueFd tcp_socket(sa_family_t family) {
    UniqueFd fd = UniqueFd::adopt(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    assert(fd.is_open());
    return fd;
}

}  // namespace

UniqueFd tcp_listener(sa_family_t family) {
    UniqueFd listener = tcp_socket(family);
    const SocketAddress address = loopback(family);
    [[maybe_unused]] const int bound =
        bind(listener.borrow().number(), address.kernel_address(), address.kernel_length());
    [[maybe_unused]] const int listening = listen(listener.borrow().number(), 16);
    assert(bound == 0 && listening == 0);
    return listener;
}

TcpPair tcp_pair(sa_family_t family) {
    const UniqueFd listener = tcp_listener(family);
    const auto address = SocketAddress::local_of(listener);
    TcpPair pair{tcp_socket(family), {}};
    [[maybe_unused]] const int connected =
        connect(pair.client.borrow().number(), address->kernel_address(), address->kernel_length());
    assert(connected == 0);
    pair.accepted =
        UniqueFd::adopt(accept4(listener.borrow().number(), nullptr, nullptr, SOCK_CLOEXEC));
    assert(pair.accepted.is_open());
    return pair;
}

}  // namespace proxyd::test
