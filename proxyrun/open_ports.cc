// SPDX-License-Identifier: MIT
#include "proxyrun/open_ports.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
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

// /proc/net/tcp and tcp6 (proc(5)): local address, as hexadecimal, is the second field, the state
// the fourth, the inode the tenth.
void find_listening(pid_t process, const char* table, const std::set<std::string>& inodes,
                    std::set<uint16_t>& ports) {
    constexpr std::string_view Listening = "0A";
    std::ifstream file(fmt::format("/proc/{}/net/{}", process, table));
    for (std::string line; std::getline(file, line);) {
        const std::vector<std::string> words = words_of(line);
        if (words.size() < 10 || words[3] != Listening || !inodes.contains(words[9])) continue;
        const std::string& address = words[1];
        uint16_t port = 0;
        std::from_chars(address.data() + address.rfind(':') + 1, address.data() + address.size(),
                        port, 16);
        ports.insert(port);
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
        find_listening(process, "tcp", inodes, open.listening);
        find_listening(process, "tcp6", inodes, open.listening);
        open.has_site_socket =
            open.has_site_socket || has_bound_in(process, site_directory, inodes);
    }
    return open;
}

}  // namespace proxyd
