// SPDX-License-Identifier: MIT
#include "base/daemon/end_text.h"

#include <fmt/format.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

namespace proxyd {

std::string end_text(int status) {
    if (WIFSIGNALED(status))
        return fmt::format(
            "was ended by SIG{}{}", sigabbrev_np(WTERMSIG(status)),
            WTERMSIG(status) == SIGSYS ? " (a system call that no worker needs)" : "");
    return fmt::format("ended with exit code {}", WEXITSTATUS(status));
}

}  // namespace proxyd
