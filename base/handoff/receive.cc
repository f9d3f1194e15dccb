// SPDX-License-Identifier: MIT
#include "base/handoff/receive.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

namespace proxyd {
namespace {

constexpr size_t DescriptorsMax = 253;  // SCM_MAX_FD: no message carries more (unix(7))

// Owns the first descriptor of the message and closes all others.
UniqueFd adopt_first_descriptor(msghdr& message) {
    UniqueFd first;
    for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr;
         control = CMSG_NXTHDR(&message, control)) {
        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
        const size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int number;
            memcpy(&number, CMSG_DATA(control) + i * sizeof(int), sizeof(number));
            UniqueFd fd = UniqueFd::adopt(number);
            if (!first.is_open()) first = std::move(fd);
        }
    }
    return first;
}

int timestamp_type_of(msghdr& message) {
    for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr;
         control = CMSG_NXTHDR(&message, control)) {
        if (control->cmsg_level == SOL_SOCKET &&
            (control->cmsg_type == SCM_TIMESTAMP || control->cmsg_type == SCM_TIMESTAMPNS))
            return control->cmsg_type;
    }
    return 0;
}

// recvmsg(2) gives 0 both for an empty datagram and after shutdown(2), and EAGAIN both for an empty
// queue and after shutdown(2); poll(2) knows which.
bool is_shut_down(BorrowedFd site_socket) {
    pollfd query{site_socket.number(), POLLRDHUP, 0};
    return poll(&query, 1, 0) == 1 && (query.revents & (POLLRDHUP | POLLHUP)) != 0;
}

}  // namespace

// One question answers three: TCP_INFO fails on anything that is not TCP, and its first byte, the
// state, tells a connection (of whatever age) from a listener.
bool is_tcp_connection(BorrowedFd socket) {
    uint8_t state = 0;
    socklen_t length = sizeof(state);
    return getsockopt(socket.number(), IPPROTO_TCP, TCP_INFO, &state, &length) == 0 &&
           state != TCP_LISTEN;
}

ReceiveOutcome receive_connection(BorrowedFd site_socket, int recvmsg_flags,
                                  ReceivedConnection& received, ReceivedKind kind) {
    const int errno_before = errno;
    iovec data{received.payload.data(), received.payload.size()};
    alignas(cmsghdr) char
        control[CMSG_SPACE(sizeof(timespec)) + CMSG_SPACE(DescriptorsMax * sizeof(int))];
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);

    const ssize_t size = recvmsg(site_socket.number(), &message, recvmsg_flags);
    if (size < 0) {
        // A socket that doesn't wait says EAGAIN even after shutdown(2) (measured).
        const int reason = errno;
        const bool ended = reason == EAGAIN && is_shut_down(site_socket);
        errno = ended ? errno_before : reason;
        return ended ? ReceiveOutcome::ShutDown : ReceiveOutcome::Failed;
    }

    received.timestamp_type = timestamp_type_of(message);
    UniqueFd connection = adopt_first_descriptor(message);
    const bool usable =
        connection.is_open() && (kind == ReceivedKind::Anything || is_tcp_connection(connection));
    const bool ended = !connection.is_open() && size == 0 && is_shut_down(site_socket);
    errno = errno_before;
    if (ended) return ReceiveOutcome::ShutDown;
    if (!usable) return ReceiveOutcome::NotOne;
    received.connection = std::move(connection);
    received.payload_bytes = static_cast<size_t>(size);
    return ReceiveOutcome::Connection;
}

}  // namespace proxyd
