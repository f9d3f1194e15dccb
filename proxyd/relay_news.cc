// SPDX-License-Identifier: MIT
#include "proxyd/relay_news.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace proxyd {
namespace {

constexpr size_t MessageBytesMax = 16 * 1024;
constexpr std::string_view Problem = "X_PROBLEM=";

// None if the kernel doesn't tell.
pid_t sender_of(msghdr& message) {
    for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr;
         control = CMSG_NXTHDR(&message, control)) {
        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_CREDENTIALS) continue;
        ucred credentials;
        memcpy(&credentials, CMSG_DATA(control), sizeof(credentials));
        return credentials.pid;
    }
    return 0;
}

}  // namespace

RelayMessage parse_relay_message(std::string_view text) {
    RelayMessage message;
    while (!text.empty()) {
        const std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        if (line == "READY=1") message.is_ready = true;
        if (line == "RELOADING=1") message.is_reloading = true;
        if (line.starts_with(Problem)) message.problems.emplace_back(line.substr(Problem.size()));
    }
    return message;
}

Result<void> RelayNews::listen(const std::string& path) {
    if (path == path_) return {};
    close();
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) return Unexpected{Errno{ENAMETOOLONG}};
    memcpy(address.sun_path, path.data(), path.size());
    socket_ = UniqueFd::adopt(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int fd = socket_.borrow().number();
    const int on = 1;
    unlink(path.c_str());
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0 ||
        bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
        const Errno error = Errno::last();
        socket_.close();
        return Unexpected{error};
    }
    path_ = path;
    readable_.start(socket_);
    return {};
}

void RelayNews::close() {
    if (path_.empty()) return;
    readable_.stop();
    socket_.close();
    unlink(path_.c_str());
    path_.clear();
}

void RelayNews::on_readable() noexcept {
    std::array<char, MessageBytesMax> buffer;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred))> control{};
    while (socket_.is_open()) {
        iovec data{buffer.data(), buffer.size()};
        msghdr message{};
        message.msg_iov = &data;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        const ssize_t size = recvmsg(socket_.borrow().number(), &message, MSG_CMSG_CLOEXEC);
        if (size < 0) return;
        owner_.on_relay_message(sender_of(message), parse_relay_message(std::string_view(
                                                        buffer.data(), static_cast<size_t>(size))));
    }
}

}  // namespace proxyd
