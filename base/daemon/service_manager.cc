// SPDX-License-Identifier: MIT
#include "base/daemon/service_manager.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include <algorithm>
#include <memory>

namespace proxyd {
namespace {

// A line feed would begin another variable of the message.
std::string one_line(std::string_view text) {
    std::string line(text);
    for (char& byte : line) {
        if (static_cast<unsigned char>(byte) < ' ' || byte == '\x7f') byte = ' ';
    }
    return line;
}

Result<void> notify(const std::string& message) {
    const int sent = sd_notify(0, message.c_str());
    if (sent < 0) return Unexpected{Errno{-sent}};
    return {};
}

Result<void> notify_state(std::string_view state, std::string_view status) {
    return notify(fmt::format("{}\nSTATUS={}", state, one_line(status)));
}

// As many as a message has room for.
std::string problem_lines(std::span<const std::string> problems) {
    constexpr size_t CountMax = 20, BytesMax = 500;
    std::string lines;
    for (const std::string& problem : problems.first(std::min(problems.size(), CountMax)))
        lines += "\nX_PROBLEM=" + one_line(std::string_view(problem).substr(0, BytesMax));
    return lines;
}

uint64_t monotonic_microseconds() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000 +
           static_cast<uint64_t>(now.tv_nsec) / 1000;
}

std::optional<int> socket_option(BorrowedFd socket, int level, int option) {
    int value = 0;
    socklen_t length = sizeof(value);
    if (getsockopt(socket.number(), level, option, &value, &length) != 0) return std::nullopt;
    return value;
}

// What keeps it from being a listener of ours; "" if nothing does.
std::string problem_with(const InheritedSocket& inherited) {
    const BorrowedFd socket = inherited.socket;
    if (socket_option(socket, SOL_SOCKET, SO_PROTOCOL) != IPPROTO_TCP ||
        !inherited.address.has_address())
        return "is no TCP socket: want ListenStream= with a port or an address and a port";
    if (socket_option(socket, SOL_SOCKET, SO_ACCEPTCONN) != 1)
        return "is no listening socket: want Accept=no";
    if (inherited.address.family() == AF_INET6 && inherited.address.is_wildcard() &&
        socket_option(socket, IPPROTO_IPV6, IPV6_V6ONLY) != 1)
        return fmt::format(
            "takes IPv4 clients on an IPv6 address: want ListenStream=0.0.0.0:{0}, "
            "ListenStream=[::]:{0} and BindIPv6Only=ipv6-only",
            inherited.address.port());
    return "";
}

bool make_nonblocking(BorrowedFd socket) {
    const int flags = fcntl(socket.number(), F_GETFL);
    return flags >= 0 && fcntl(socket.number(), F_SETFL, flags | O_NONBLOCK) == 0;
}

struct FreeNames {
    void operator()(char** names) const {
        for (char** name = names; *name != nullptr; name++)
            free(*name);
        free(static_cast<void*>(names));
    }
};

}  // namespace

Result<void> notify_ready(std::string_view status, std::span<const std::string> problems) {
    return notify(fmt::format("READY=1\nSTATUS={}{}", one_line(status), problem_lines(problems)));
}

Result<void> notify_failure(std::span<const std::string> problems) {
    return notify("STATUS=not started" + problem_lines(problems));
}

// The time is what Type=notify-reload (systemd 253) wants, to tell this reload from an older one.
Result<void> notify_reloading(std::string_view status) {
    return notify_state(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", monotonic_microseconds()),
                        status);
}

Result<void> notify_stopping(std::string_view status) {
    return notify_state("STOPPING=1", status);
}

Result<void> notify_status(std::string_view status) {
    return notify("STATUS=" + one_line(status));
}

std::optional<std::chrono::microseconds> watchdog_interval() {
    uint64_t patience = 0;
    if (sd_watchdog_enabled(0, &patience) <= 0) return std::nullopt;
    return std::chrono::microseconds(std::max<uint64_t>(patience / 2, 1));
}

Result<void> notify_alive() {
    return notify("WATCHDOG=1");
}

Result<std::vector<InheritedSocket>, std::vector<std::string>> adopt_inherited_sockets() {
    char** list = nullptr;
    const int count = sd_listen_fds_with_names(1, &list);
    const std::unique_ptr<char*, FreeNames> names(list);
    if (count < 0)
        return Unexpected{std::vector<std::string>{
            fmt::format("LISTEN_FDS: the sockets of the service manager can't be taken: {}",
                        strerror(-count))}};

    std::vector<InheritedSocket> sockets;
    std::vector<std::string> errors;
    for (int i = 0; i < count; i++) {
        InheritedSocket inherited{UniqueFd::adopt(SD_LISTEN_FDS_START + i), {}, names.get()[i]};
        if (const auto address = SocketAddress::local_of(inherited.socket))
            inherited.address = *address;
        std::string problem = problem_with(inherited);
        if (problem.empty() && !make_nonblocking(inherited.socket)) problem = strerror(errno);
        if (!problem.empty())
            errors.push_back(fmt::format("LISTEN_FDS: descriptor {} ({}) {}",
                                         SD_LISTEN_FDS_START + i, one_line(inherited.name),
                                         problem));
        sockets.push_back(std::move(inherited));
    }
    if (!errors.empty()) return Unexpected{std::move(errors)};
    return sockets;
}

std::string path_of_site_socket(BorrowedFd socket) {
    int type = 0;
    socklen_t type_length = sizeof(type);
    sockaddr_un address{};
    socklen_t length = sizeof(address);
    if (getsockopt(socket.number(), SOL_SOCKET, SO_TYPE, &type, &type_length) != 0 ||
        type != SOCK_DGRAM ||
        getsockname(socket.number(), reinterpret_cast<sockaddr*>(&address), &length) != 0 ||
        address.sun_family != AF_UNIX || length > sizeof(address))
        return "";
    return {address.sun_path, strnlen(address.sun_path, sizeof(address.sun_path))};
}

}  // namespace proxyd
