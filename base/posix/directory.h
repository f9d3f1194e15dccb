// SPDX-License-Identifier: MIT
//
// Reading a directory through its descriptor. Used where site directories are looked at.
#pragma once

#include "base/posix/unique_fd.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cstdint>
#include <string_view>

namespace proxyd {

// Calls `each(name, type)` for all entries but "." and "..", up to so many; `type` as readdir(3)
// has it. Says whether these were all. A directory that can't be read has no entries.
template <typename Each>
bool for_each_entry(BorrowedFd directory, Each each, size_t entries_max = SIZE_MAX) {
    // A description of its own: the position in the directory belongs to it.
    const int fd = openat(directory.number(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return true;
    DIR* const stream = fdopendir(fd);
    if (stream == nullptr) {
        close(fd);
        return true;
    }
    size_t left = entries_max;
    bool is_whole = true;
    while (const dirent* entry = readdir(stream)) {
        const std::string_view name = entry->d_name;
        if (name == "." || name == "..") continue;
        if (left-- == 0) {
            is_whole = false;
            break;
        }
        each(entry->d_name, entry->d_type);
    }
    closedir(stream);
    return is_whole;
}

// Whether it is a directory itself, not a link to one.
inline bool is_directory_entry(BorrowedFd directory, const char* name, unsigned char type) {
    if (type != DT_UNKNOWN) return type == DT_DIR;
    struct stat status;
    return fstatat(directory.number(), name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(status.st_mode);
}

}  // namespace proxyd
