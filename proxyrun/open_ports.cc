// SPDX-License-Identifier: MIT
#include "proxyrun/open_ports.h"

#include "base/posix/unique_fd.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

namespace proxyd {
namespace {

namespace fs = std::filesystem;

// The inodes of a process's sockets, as /proc/PID/fd has them: "socket:[4711]".
std::set<std::string> sockets_of(pid_t process) {
    constexpr std::string_view Start = "socket:[";
    std::set<std::string> inodes;
    std::error_code error;
    const fs::directory_iterator entries(fmt::format("/proc/{}/fd", process), error);
    for (const auto& entry : entries) {
        const std::string target = fs::read_symlink(entry.path(), error).string();
        if (target.starts_with(Start))
            inodes.insert(target.substr(Start.size(), target.size() - Start.size() - 1));
    }
    return inodes;
}

std::vector<std::string> words_of(const std::string& line) {
    std::istringstream stream(line);
    std::vector<std::string> words;
    for (std::string word; stream >> word;)
        words.push_back(word);
    return words;
}

struct DumpRequest {
    nlmsghdr header;
    inet_diag_req_v2 question;
};

// Asks the kernel for listening sockets alone (sock_diag(7)): /proc/net/tcp has all connections,
// and those that have ended lately, which can be a hundred thousand.
bool ask_for_listeners(BorrowedFd netlink, uint8_t family) {
    DumpRequest request{};
    request.header.nlmsg_len = sizeof(request);
    request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.question.sdiag_family = family;
    request.question.sdiag_protocol = IPPROTO_TCP;
    request.question.idiag_states = 1u << TCP_LISTEN;
    return send(netlink.number(), &request, sizeof(request), 0) == sizeof(request);
}

// Ports of those listeners whose inodes, of that process, are given; false at the end of the
// answer.
bool read_listeners(BorrowedFd netlink, pid_t process, const std::set<std::string>& inodes,
                    std::map<uint16_t, pid_t>& ports) {
    alignas(nlmsghdr) std::array<char, 32768> answer;
    const ssize_t size = recv(netlink.number(), answer.data(), answer.size(), 0);
    if (size <= 0) return false;
    auto left = static_cast<unsigned>(size);
    for (auto* message = reinterpret_cast<nlmsghdr*>(answer.data()); NLMSG_OK(message, left);
         message = NLMSG_NEXT(message, left)) {
        if (message->nlmsg_type != SOCK_DIAG_BY_FAMILY) return false;
        const auto* const found = reinterpret_cast<const inet_diag_msg*>(message + 1);
        if (inodes.contains(std::to_string(found->idiag_inode)))
            ports.emplace(ntohs(found->id.idiag_sport), process);
    }
    return true;
}

void find_listening(pid_t process, const std::set<std::string>& inodes,
                    std::map<uint16_t, pid_t>& ports) {
    const UniqueFd netlink =
        UniqueFd::adopt(socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
    if (!netlink.is_open()) return;
    for (const uint8_t family : {uint8_t{AF_INET}, uint8_t{AF_INET6}}) {
        if (!ask_for_listeners(netlink, family)) return;
        while (read_listeners(netlink, process, inodes, ports)) {
        }
    }
}

// /proc/net/unix: the inode is the seventh field, the path what it was bound to.
bool has_bound_in(pid_t process, const std::string& directory,
                  const std::set<std::string>& inodes) {
    std::ifstream file(fmt::format("/proc/{}/net/unix", process));
    for (std::string line; std::getline(file, line);) {
        const std::vector<std::string> words = words_of(line);
        if (words.size() >= 8 && inodes.contains(words[6]) &&
            line.find(" " + directory + "/") != line.npos)
            return true;
    }
    return false;
}

}  // namespace

OpenPorts OpenPorts::of(const std::vector<pid_t>& processes, const std::string& site_directory) {
    OpenPorts open;
    for (const pid_t process : processes) {
        const std::set<std::string> inodes = sockets_of(process);
        if (inodes.empty()) continue;
        find_listening(process, inodes, open.listening);
        open.has_site_socket =
            open.has_site_socket || has_bound_in(process, site_directory, inodes);
    }
    return open;
}

std::set<ino_t> open_among(const std::set<ino_t>& sockets, const std::vector<pid_t>& processes) {
    std::set<ino_t> found;
    for (const pid_t process : processes) {
        const std::set<std::string> open = sockets_of(process);
        std::copy_if(sockets.begin(), sockets.end(), std::inserter(found, found.end()),
                     [&](ino_t inode) { return open.contains(std::to_string(inode)); });
    }
    return found;
}

}  // namespace proxyd
