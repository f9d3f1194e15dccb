// SPDX-License-Identifier: MIT
#include "base/daemon/confinement/system_call_filter.h"

#include "base/daemon/log.h"

#include <errno.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

namespace proxyd {
namespace {

#ifdef PROXYD_SANITIZED
constexpr uint32_t OnOtherCalls = SCMP_ACT_LOG;
#else
constexpr uint32_t OnOtherCalls = SCMP_ACT_KILL_PROCESS;
#endif

// clang-format off
constexpr int Basics[] = {
    // Waiting.
    SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_create1), SCMP_SYS(poll),
    SCMP_SYS(ppoll), SCMP_SYS(timerfd_settime), SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),
    SCMP_SYS(clock_nanosleep), SCMP_SYS(restart_syscall), SCMP_SYS(sched_yield), SCMP_SYS(futex),
    // Logs, sockets and libev's wake-ups.
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(pwritev2), SCMP_SYS(close),
    // Memory.
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
    // Signals, and the end: abort(3) sends itself SIGABRT.
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(getpid),
    SCMP_SYS(gettid), SCMP_SYS(exit), SCMP_SYS(exit_group),
    SCMP_SYS(getrandom), SCMP_SYS(rseq), SCMP_SYS(set_robust_list),
};
// clang-format on

Unexpected<std::string> failed(std::string_view what, int number) {
    return Unexpected{fmt::format("cannot enter the sandbox: {}: {}", what, errno_text(number))};
}

}  // namespace

SystemCallFilter::SystemCallFilter(uint32_t on_other_calls)
    : filter_(seccomp_init(on_other_calls), &seccomp_release) {
    // PR_SET_NO_NEW_PRIVS has been set, and setting it may be forbidden by an earlier filter.
    if (filter_) error_ = seccomp_attr_set(filter_.get(), SCMP_FLTATR_CTL_NNP, 0);
}

SystemCallFilter SystemCallFilter::that_allows_nothing() {
    return SystemCallFilter(OnOtherCalls);
}

SystemCallFilter SystemCallFilter::that_allows_all() {
    return SystemCallFilter(SCMP_ACT_ALLOW);
}

void SystemCallFilter::add(uint32_t action, int call, std::initializer_list<Condition> conditions) {
    if (filter_ && error_ == 0)
        error_ =
            seccomp_rule_add_array(filter_.get(), action, call,
                                   static_cast<unsigned>(conditions.size()), conditions.begin());
}

void SystemCallFilter::allow(int call, std::initializer_list<Condition> conditions) {
    add(SCMP_ACT_ALLOW, call, conditions);
}

void SystemCallFilter::forbid(int call, std::initializer_list<Condition> conditions) {
    add(SCMP_ACT_KILL_PROCESS, call, conditions);
}

void SystemCallFilter::allow_basics() {
    for (const int call : Basics)
        allow(call);
    allow(SCMP_SYS(tgkill), {argument_is(0, getpid())});
    allow(SCMP_SYS(mmap), {argument_is(2, PROT_EXEC, 0)});
    allow(SCMP_SYS(mprotect), {argument_is(2, PROT_EXEC, 0)});
}

Result<void, std::string> SystemCallFilter::load() {
    if (!filter_) return failed("seccomp_init", ENOMEM);
    if (error_ == 0) error_ = seccomp_load(filter_.get());
    if (error_ != 0) return failed("seccomp", -error_);
    return {};
}

}  // namespace proxyd
