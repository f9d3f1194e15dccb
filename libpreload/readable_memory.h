// SPDX-License-Identifier: MIT
//
// Whether memory of this process can be read, as the kernel would find out for a system call that
// says EFAULT. Used where libpreload looks at a program's argument before the kernel has.
#pragma once

#include <stddef.h>

namespace proxyd {

// `size` is at least 1.
bool is_readable(const void* memory, size_t size);

}  // namespace proxyd
