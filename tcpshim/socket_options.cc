// SPDX-License-Identifier: MIT
#include "tcpshim/socket_options.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>

namespace proxyd::shim {

bool set_option(BorrowedFd socket, int level, int name, int value) {
    return setsockopt(socket.number(), level, name, &value, sizeof(value)) == 0;
}

void reset_at_close(BorrowedFd socket) {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    setsockopt(socket.number(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

void set_user_timeout(BorrowedFd socket, std::chrono::milliseconds timeout) {
    if (timeout.count() > 0)
        set_option(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(timeout.count()));
}

void set_keepalive(BorrowedFd socket, std::chrono::milliseconds after) {
    using std::chrono::seconds;
    const auto idle = std::max(seconds(1), std::chrono::duration_cast<seconds>(after));
    set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, static_cast<int>(idle.count()));
    set_option(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
}

}  // namespace proxyd::shim
