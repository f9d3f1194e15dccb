// SPDX-License-Identifier: MIT
//
// A child that takes the steps of a worker and then does what no worker should be able to. Used by
// the tests of the daemons' sandboxes.
#pragma once

#include "base/daemon/confinement/landlock.h"
#include "tests/unit/catch.h"

#include <errno.h>
#include <fmt/format.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

namespace proxyd::test {

constexpr const char* KilledBySeccomp = "killed by SYS";
constexpr const char* Refused = "refused: Permission denied";

// What became of it: "fine", "refused: " and why, or "killed by SYS".
template <typename Enter, typename Attempt>
std::string in_child(Enter enter, Attempt attempt) {
    constexpr int Entered = 0, NotEntered = 250;
    const pid_t child = fork();
    if (child == 0) {
        if (!enter()) _exit(NotEntered);
        errno = 0;
        _exit(attempt() ? Entered : errno);
    }
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status)) return fmt::format("killed by {}", sigabbrev_np(WTERMSIG(status)));
    REQUIRE(WEXITSTATUS(status) != NotEntered);
    if (WEXITSTATUS(status) == 0) return "fine";
    return fmt::format("refused: {}", strerrordesc_np(WEXITSTATUS(status)));
}

// The reason to leave a test out; it is printed.
inline bool is_sandbox_left_out([[maybe_unused]] long landlock_wanted = 0) {
#ifdef PROXYD_SANITIZED
    WARN("left out: with sanitizers the sandbox is open, since their runtimes need it");
    return true;
#else
    if (landlock_version() >= landlock_wanted) return false;
    WARN("left out: this kernel's Landlock has version " << landlock_version() << ", wanted is "
                                                         << landlock_wanted);
    return true;
#endif
}

}  // namespace proxyd::test
