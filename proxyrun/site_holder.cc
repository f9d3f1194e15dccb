// SPDX-License-Identifier: MIT
//
// From the file to the socket by the name that it was bound to, which /proc/net/unix has with the
// socket's inode; from there to a process by its descriptors.
#include "proxyrun/site_holder.h"

#include "base/handoff/site_socket.h"
#include "proxyrun/open_ports.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <string_view>
#include <vector>

namespace proxyd {
namespace {

// The inode is the seventh field, and what it was bound to the last one.
std::optional<ino_t> inode_of(std::string_view bound_name) {
    std::ifstream file("/proc/self/net/unix");
    for (std::string line; std::getline(file, line);) {
        const size_t slash = line.rfind('/');
        if (slash == line.npos || std::string_view(line).substr(slash + 1) != bound_name) continue;
        std::istringstream fields(line);
        std::string skipped;
        ino_t inode = 0;
        for (int i = 0; i < 6; i++)
            fields >> skipped;
        if (fields >> inode) return inode;
    }
    return std::nullopt;
}

std::string name_of(pid_t process) {
    std::ifstream file(fmt::format("/proc/{}/comm", process));
    std::string name;
    std::getline(file, name);
    return name;
}

std::vector<pid_t> all_processes() {
    std::vector<pid_t> processes;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
        const std::string text = entry.path().filename();
        pid_t process = 0;
        const auto [end, reason] = std::from_chars(text.data(), text.data() + text.size(), process);
        if (reason == std::errc() && end == text.data() + text.size()) processes.push_back(process);
    }
    return processes;
}

}  // namespace

std::string holder_of(BorrowedFd directory, const std::string& file_name) {
    BoundName bound_name;
    if (probe_site_socket(directory, file_name.c_str(), &bound_name) != SiteSocketState::Alive)
        return "";
    const auto inode = inode_of(bound_name.view());
    if (!inode) return "";
    std::string found;
    for (const pid_t process : all_processes()) {
        if (open_among({*inode}, {process}).empty()) continue;
        const std::string name = name_of(process);
        // A keeper has it, too, and only for the server.
        if (found.empty() || found.starts_with("proxyrun "))
            found = fmt::format("{} (PID {})", name, process);
    }
    return found;
}

}  // namespace proxyd
