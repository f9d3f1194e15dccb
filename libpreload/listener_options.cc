// SPDX-License-Identifier: MIT
#include "libpreload/listener_options.h"

#include "libpreload/inherited_options.h"
#include "libpreload/real_calls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include <algorithm>
#include <cstddef>

namespace proxyd {
namespace {

UniqueFd new_tcp_socket(sa_family_t family) {
    return UniqueFd::adopt(socket(family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));
}

void set_flag(BorrowedFd socket, int level, int option, bool is_on) {
    const int value = is_on ? 1 : 0;
    real.setsockopt(socket.number(), level, option, &value, sizeof(value));
}

// A TCP socket with what is known of the listener. It doesn't listen: that would open a port.
UniqueFd make_likeness(const StandIn& stand_in) {
    UniqueFd likeness = new_tcp_socket(stand_in.family());
    if (!likeness.is_open()) return likeness;
    apply_kept_options(stand_in.state, likeness);
    set_flag(likeness, SOL_SOCKET, SO_REUSEPORT, stand_in.state.reuses_port);
    if (stand_in.family() == AF_INET6)
        set_flag(likeness, IPPROTO_IPV6, IPV6_V6ONLY, stand_in.state.label.is_ipv6_only);
    return likeness;
}

// The two answers in which a listener differs from its likeness.
void mark_as_listening(int level, int option, void* value, socklen_t length) {
    if (level == SOL_SOCKET && option == SO_ACCEPTCONN) {
        const int yes = 1;
        memcpy(value, &yes, std::min(sizeof(yes), size_t{length}));
    }
    // The state is the first byte of struct tcp_info.
    if (level == IPPROTO_TCP && option == TCP_INFO && length > 0) {
        const uint8_t state = TCP_LISTEN;
        memcpy(value, &state, sizeof(state));
    }
}

// The kernel changes it only on a socket without a port, and a listener has one (ipv6(7)).
bool is_fixed_by_bind(const StandIn& stand_in, int level, int option) {
    return stand_in.family() == AF_INET6 && level == IPPROTO_IPV6 && option == IPV6_V6ONLY;
}

}  // namespace

bool may_be_misanswered(int option, const void* value, socklen_t length) {
    if (option == SO_GET_FILTER) return true;  // its length counts instructions
    int answer = 0;
    if (value == nullptr) return false;
    memcpy(&answer, value, std::min(sizeof(answer), size_t{length}));
    switch (option) {
        case SO_TYPE:
            return answer == SOCK_DGRAM;
        case SO_DOMAIN:
            return answer == AF_UNIX;
        case SO_ACCEPTCONN:
        case SO_PROTOCOL:
        case SO_REUSEPORT:
        case SO_ZEROCOPY:
            return answer == 0;
        case SO_TIMESTAMP:
        case SO_TIMESTAMPNS:
        case SO_PRIORITY:  // follows IP_TOS (socket(7))
        case SO_RCVBUF:
        case SO_SNDBUF:
            return true;
        default:
            return false;
    }
}

bool is_reserved_option(int level, int option) {
    if (level != SOL_SOCKET) return false;
    switch (option) {
        case SO_TIMESTAMP:
        case SO_TIMESTAMPNS:
        case SO_ATTACH_FILTER:
        case SO_ATTACH_BPF:
        case SO_DETACH_FILTER:
        case SO_LOCK_FILTER:
            return true;
        default:
            return false;
    }
}

int ask_listener(const StandIn& stand_in, int level, int option, void* value, socklen_t* length) {
    if (level == SOL_SOCKET && was_native_option_set(stand_in.state, option))
        return real.getsockopt(stand_in.fd.number(), level, option, value, length);
    const UniqueFd likeness = make_likeness(stand_in);
    if (!likeness.is_open()) return -1;
    if (real.getsockopt(likeness.borrow().number(), level, option, value, length) != 0) return -1;
    if (stand_in.state.is_listening) mark_as_listening(level, option, value, *length);
    return 0;
}

int set_on_listener(const StandIn& stand_in, int level, int option, const void* value,
                    socklen_t length) {
    if (is_fixed_by_bind(stand_in, level, option)) {
        errno = EINVAL;
        return -1;
    }
    const UniqueFd trial = new_tcp_socket(stand_in.family());
    if (!trial.is_open() ||
        real.setsockopt(trial.borrow().number(), level, option, value, length) != 0)
        return -1;
    if (level == SOL_SOCKET && option == SO_REUSEPORT) {
        int is_on = 0;
        memcpy(&is_on, value, std::min(sizeof(is_on), size_t{length}));
        StandIn changed = stand_in;
        changed.state.reuses_port = is_on != 0;
        changed.store();
    } else {
        keep_option(stand_in, trial, level, option);
    }
    return 0;
}

}  // namespace proxyd
