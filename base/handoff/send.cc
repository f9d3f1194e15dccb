// SPDX-License-Identifier: MIT
#include "base/handoff/send.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace proxyd {

Result<UniqueFd> connect_sender(BorrowedFd site_socket) {
    UniqueFd sender =
        UniqueFd::adopt(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!sender.is_open()) return Unexpected{Errno::last()};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", site_socket.number());
    if (connect(sender.borrow().number(), reinterpret_cast<const sockaddr*>(&address),
                sizeof(address)) != 0)
        return Unexpected{Errno::last()};
    return sender;
}

Result<void> send_connection(BorrowedFd sender, BorrowedFd connection, Bytes payload) {
    iovec data{const_cast<uint8_t*>(payload.data()), payload.size()};  // sendmsg(2) only reads it
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    const int fd = connection.number();
    memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
    if (sendmsg(sender.number(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return Unexpected{Errno::last()};
    return {};
}

}  // namespace proxyd
