// SPDX-License-Identifier: MIT
//
// rt_sigprocmask(2) reads its set before it looks at what to do with it, and changes nothing when
// that is nonsense: EFAULT tells of memory that can't be read, EINVAL of memory that can. No
// seccomp filter that a program can live under forbids it, unlike process_vm_readv(2).
#include "libpreload/readable_memory.h"

#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace proxyd {
namespace {

constexpr size_t SetBytes = 8;  // of the kernel's sigset_t
constexpr size_t PageBytesLeast = 4096;
constexpr int NoSuchAction = -1;

// The eight bytes that `address` lies in: they never cross into another page.
bool is_readable_at(uintptr_t address) {
    const uintptr_t set = address & ~uintptr_t{SetBytes - 1};
    return syscall(SYS_rt_sigprocmask, NoSuchAction, set, nullptr, SetBytes) == 0 ||
           errno != EFAULT;
}

}  // namespace

bool is_readable(const void* memory, size_t size) {
    const int saved_errno = errno;
    const auto begin = reinterpret_cast<uintptr_t>(memory);
    const uintptr_t last = begin + (size - 1);
    bool is_fine = last >= begin && is_readable_at(last);
    for (uintptr_t at = begin; is_fine && at < last; at += PageBytesLeast)
        is_fine = is_readable_at(at);
    errno = saved_errno;
    return is_fine;
}

}  // namespace proxyd
