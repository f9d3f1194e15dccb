// SPDX-License-Identifier: MIT
#include "libpreload/trace.h"

#include "libpreload/guest_config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>

namespace proxyd {

void trace(const char* format, ...) {
    if (!guest_config().traces) return;
    const int saved_errno = errno;
    // Formatted on the stack and written at once: lines of several processes don't mix.
    char line[512];
    constexpr size_t TextMax = sizeof(line) - 1;
    size_t length = static_cast<size_t>(snprintf(line, TextMax, "libpreload[%d]: ", getpid()));
    va_list arguments;
    va_start(arguments, format);
    const int text = vsnprintf(line + length, TextMax - length, format, arguments);
    va_end(arguments);
    if (text > 0) length = std::min(length + static_cast<size_t>(text), TextMax - 1);
    line[length++] = '\n';
    (void)!write(STDERR_FILENO, line, length);
    errno = saved_errno;
}

}  // namespace proxyd
