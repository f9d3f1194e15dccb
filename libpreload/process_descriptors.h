// SPDX-License-Identifier: MIT
//
// The open descriptors of a process, from /proc/<pid>/fd (proc(5)). Used by libpreload where it
// looks for duplicates of a socket, for epoll instances and for listeners. By system call:
// opendir(3) takes heap memory.
#pragma once

#include "base/posix/unique_fd.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <string_view>

namespace proxyd {

// Calls visit(number, link), `link` being what the descriptor is ("socket:[4711]"). False if they
// can't be seen: there is no /proc, or the process is somebody else's.
template <typename Visit>
bool for_each_descriptor(pid_t process, Visit visit) {
    char path[32];
    snprintf(path, sizeof(path), "/proc/%d/fd", process);
    const UniqueFd directory = UniqueFd::adopt(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory.is_open()) return false;
    alignas(dirent64) char entries[2048];
    while (true) {
        const long size =
            syscall(SYS_getdents64, directory.borrow().number(), entries, sizeof(entries));
        if (size <= 0) return size == 0;
        for (long offset = 0; offset < size;) {
            const auto* entry = reinterpret_cast<const dirent64*>(entries + offset);
            offset += entry->d_reclen;
            int number = -1;
            std::from_chars(entry->d_name, entry->d_name + strlen(entry->d_name), number);
            char link[64];
            const ssize_t length =
                readlinkat(directory.borrow().number(), entry->d_name, link, sizeof(link));
            if (number >= 0 && number != directory.borrow().number() && length > 0)
                visit(number, std::string_view(link, static_cast<size_t>(length)));
        }
    }
}

// What the link of a socket's descriptors says; "" for what is none.
struct SocketLink {
    explicit SocketLink(int fd) {
        struct stat status;
        if (fstat(fd, &status) != 0 || !S_ISSOCK(status.st_mode)) return;
        length = static_cast<size_t>(snprintf(text, sizeof(text), "socket:[%llu]",
                                              static_cast<unsigned long long>(status.st_ino)));
    }
    std::string_view view() const { return {text, length}; }

    char text[64] = "";
    size_t length = 0;
};

}  // namespace proxyd
