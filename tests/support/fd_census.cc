// SPDX-License-Identifier: MIT
#include "tests/support/fd_census.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>

namespace proxyd::test {

std::map<int, std::string> open_fds() {
    std::map<int, std::string> fds;
    std::error_code gone;  // the iterator's own descriptor is closed when its turn to be read comes
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        const std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
        const bool is_the_iterator = target.starts_with("/proc/") && target.ends_with("/fd");
        if (!gone && !is_the_iterator) fds[std::stoi(entry.path().filename())] = target;
    }
    return fds;
}

ino_t inode_of(BorrowedFd fd) {
    struct stat status {};
    return fstat(fd.number(), &status) == 0 ? status.st_ino : 0;
}

bool is_close_on_exec(BorrowedFd fd) {
    return (fcntl(fd.number(), F_GETFD) & FD_CLOEXEC) != 0;
}
bool is_blocking(BorrowedFd fd) {
    return (fcntl(fd.number(), F_GETFL) & O_NONBLOCK) == 0;
}

}  // namespace proxyd::test
