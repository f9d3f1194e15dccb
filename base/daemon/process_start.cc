// SPDX-License-Identifier: MIT
#include "base/daemon/process_start.h"

#include "base/posix/unique_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

namespace proxyd {

void fill_standard_descriptors() {
    while (true) {
        UniqueFd null = UniqueFd::adopt(open("/dev/null", O_RDWR));
        if (!null.is_open() || null.borrow().number() > STDERR_FILENO) return;
        (void)null.release();
    }
}

void raise_descriptor_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

Result<std::string> read_file(const std::string& path) {
    const UniqueFd file = UniqueFd::adopt(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.is_open()) return Unexpected{Errno::last()};
    std::string text;
    struct stat status;
    if (fstat(file.borrow().number(), &status) == 0 && S_ISREG(status.st_mode))
        text.reserve(static_cast<size_t>(status.st_size));
    std::array<char, 65536> buffer;
    for (;;) {
        const ssize_t size = read(file.borrow().number(), buffer.data(), buffer.size());
        if (size < 0) return Unexpected{Errno::last()};
        if (size == 0) return text;
        text.append(buffer.data(), static_cast<size_t>(size));
    }
}

}  // namespace proxyd
