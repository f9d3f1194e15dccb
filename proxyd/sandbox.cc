// SPDX-License-Identifier: MIT
//
// What a worker may still do once it has met a client. Landlock says which objects, seccomp which
// calls; the second is needed for all that isn't a file, the first because seccomp can't look at a
// path. A client's TCP socket could be disconnected and connected to somewhere else (connect(2),
// AF_UNSPEC): Landlock refuses that where the kernel is 6.7 or newer; MSG_FASTOPEN, which connects
// past Landlock (measured on 6.18), is refused here. A listening socket could be disconnected, too,
// or be given options that outlive us: main and our successors have the same open file.
#include "proxyd/sandbox.h"

#include "base/daemon/log.h"
#include "base/posix/unique_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/sockios.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <initializer_list>
#include <memory>

namespace proxyd {
namespace {

// Newer than the headers of Debian 12 (landlock(7); linux/landlock.h of Linux 6.12).
struct LandlockRuleset {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
    uint64_t scoped;
};
struct __attribute__((packed)) LandlockPathRule {
    uint64_t allowed_access;
    int32_t parent_fd;
};
constexpr uint64_t ReadDirectory = 1 << 3;
constexpr uint64_t BindTcp = 1 << 0, ConnectTcp = 1 << 1;
constexpr uint64_t AbstractUnixSockets = 1 << 0, Signals = 1 << 1;
constexpr uint32_t QueryVersion = 1;
constexpr int PathBeneath = 1;

uint64_t file_accesses_of(long version) {
    if (version >= 5) return (1 << 16) - 1;  // ... REFER, TRUNCATE, IOCTL_DEV
    if (version >= 3) return (1 << 15) - 1;
    if (version == 2) return (1 << 14) - 1;
    return (1 << 13) - 1;
}

Unexpected<std::string> failed(std::string_view what, int number) {
    return Unexpected{fmt::format("cannot enter the sandbox: {}: {}", what, errno_text(number))};
}

Result<void, std::string> enter_landlock() {
    const int version = landlock_version();
    if (version == 0) return {};
    LandlockRuleset rules{file_accesses_of(version), version >= 4 ? BindTcp | ConnectTcp : 0,
                          version >= 6 ? AbstractUnixSockets | Signals : 0};
    const size_t size = version >= 6 ? sizeof(rules) : version >= 4 ? 16 : 8;
    const UniqueFd ruleset =
        UniqueFd::adopt(static_cast<int>(syscall(SYS_landlock_create_ruleset, &rules, size, 0)));
    if (!ruleset.is_open()) return failed("landlock_create_ruleset", errno);
    const UniqueFd root = UniqueFd::adopt(open("/", O_PATH | O_CLOEXEC));
    if (!root.is_open()) return failed("/", errno);
    const LandlockPathRule rule{ReadDirectory, root.borrow().number()};
    if (syscall(SYS_landlock_add_rule, ruleset.borrow().number(), PathBeneath, &rule, 0) != 0)
        return failed("landlock_add_rule", errno);
    if (syscall(SYS_landlock_restrict_self, ruleset.borrow().number(), 0) != 0)
        return failed("landlock_restrict_self", errno);
    return {};
}

#ifdef PROXYD_SANITIZED
constexpr bool IsSanitized = true;
#else
constexpr bool IsSanitized = false;
#endif
// A sanitizer's runtime opens files, and makes calls of its own: the kernel's log gets them.
constexpr uint32_t OnOtherCalls = IsSanitized ? SCMP_ACT_LOG : SCMP_ACT_KILL_PROCESS;

constexpr uint64_t SocketTypeMask = 0xf;  // the rest are flags (socket(2))

// clang-format off
constexpr int AllowedCalls[] = {
    // Clients and sites.
    SCMP_SYS(accept4), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(close),
    SCMP_SYS(close_range), SCMP_SYS(connect),
    SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(getsockopt),
    // Waiting.
    SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_create1), SCMP_SYS(poll),
    SCMP_SYS(ppoll), SCMP_SYS(timerfd_settime), SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),
    SCMP_SYS(clock_nanosleep), SCMP_SYS(restart_syscall), SCMP_SYS(sched_yield), SCMP_SYS(futex),
    // Site directories; openat only to read them, see below.
    SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(getdents64), SCMP_SYS(lseek),
    SCMP_SYS(inotify_add_watch), SCMP_SYS(inotify_rm_watch),
    // For what is said of a site directory that keeps its user out.
    SCMP_SYS(geteuid),
    // Logs, the channel to main, inotify's events, libev's wake-ups.
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(pwritev2),
    // Memory.
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
    // Signals, and the end: abort(3) sends itself SIGABRT.
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(getpid),
    SCMP_SYS(gettid), SCMP_SYS(exit), SCMP_SYS(exit_group),
    SCMP_SYS(getrandom), SCMP_SYS(rseq), SCMP_SYS(set_robust_list),
};
// clang-format on

// That argument number `argument`, seen through `mask`, is `value`.
scmp_arg_cmp masked(unsigned argument, uint64_t mask, uint64_t value) {
    return {argument, SCMP_CMP_MASKED_EQ, mask, value};
}

using Filter = std::unique_ptr<void, decltype(&seccomp_release)>;

// A filter of its own, since one of them allows or refuses by what it finds: the kernel takes the
// worst that any filter says.
Result<void, std::string> protect_listening_sockets(std::span<const int> sockets) {
    const Filter filter(seccomp_init(SCMP_ACT_ALLOW), &seccomp_release);
    if (!filter) return failed("seccomp_init", ENOMEM);
    int error = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_NNP, 0);
    for (const int socket : sockets) {
        const scmp_arg_cmp is_socket = masked(0, UINT32_MAX, static_cast<uint32_t>(socket));
        for (const int call : {SCMP_SYS(connect), SCMP_SYS(setsockopt)})
            if (error == 0)
                error = seccomp_rule_add_array(filter.get(), SCMP_ACT_KILL_PROCESS, call, 1,
                                               &is_socket);
    }
    if (error == 0) error = seccomp_load(filter.get());
    if (error != 0) return failed("seccomp", -error);
    return {};
}

Result<void, std::string> enter_seccomp() {
    const Filter filter(seccomp_init(OnOtherCalls), &seccomp_release);
    if (!filter) return failed("seccomp_init", ENOMEM);
    int error = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_NNP, 0);  // done already
    for (const int call : AllowedCalls)
        if (error == 0) error = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0);
    const auto allow = [&](int call, std::initializer_list<scmp_arg_cmp> conditions) {
        if (error == 0)
            error = seccomp_rule_add_array(filter.get(), SCMP_ACT_ALLOW, call,
                                           static_cast<unsigned>(conditions.size()),
                                           conditions.begin());
    };
    constexpr uint64_t OpenFlags = O_ACCMODE | O_CREAT | O_TRUNC;
    allow(SCMP_SYS(openat), {masked(2, OpenFlags, O_RDONLY)});
    allow(SCMP_SYS(open), {masked(1, OpenFlags, O_RDONLY)});
    // Site sockets, and nothing that listens for connections, main's control socket above all.
    allow(SCMP_SYS(socket),
          {masked(0, UINT32_MAX, AF_UNIX), masked(1, SocketTypeMask, SOCK_DGRAM)});
    allow(SCMP_SYS(tgkill), {masked(0, UINT32_MAX, static_cast<uint32_t>(getpid()))});
    for (const int command : {F_GETFL, F_GETFD, F_SETFD})  // fdopendir(3)
        allow(SCMP_SYS(fcntl), {masked(1, UINT32_MAX, static_cast<uint32_t>(command))});
    allow(SCMP_SYS(sendto), {masked(3, MSG_FASTOPEN, 0)});
    allow(SCMP_SYS(sendmsg), {masked(2, MSG_FASTOPEN, 0)});
    allow(SCMP_SYS(sendmmsg), {masked(3, MSG_FASTOPEN, 0)});
    allow(SCMP_SYS(shutdown), {masked(1, UINT32_MAX, SHUT_WR)});  // without effect on a listener
    allow(SCMP_SYS(setsockopt),
          {masked(1, UINT32_MAX, SOL_SOCKET), masked(2, UINT32_MAX, SO_RCVLOWAT)});
    allow(SCMP_SYS(dup3), {masked(0, UINT32_MAX, STDIN_FILENO)});
    allow(SCMP_SYS(ioctl), {masked(1, UINT32_MAX, SIOCOUTQ)});
    allow(SCMP_SYS(mmap), {masked(2, PROT_EXEC, 0)});
    allow(SCMP_SYS(mprotect), {masked(2, PROT_EXEC, 0)});
    if (error == 0) error = seccomp_load(filter.get());
    if (error != 0) return failed("seccomp", -error);
    return {};
}

}  // namespace

int landlock_version() {
    const long version = syscall(SYS_landlock_create_ruleset, nullptr, 0, QueryVersion);
    return version < 1 ? 0 : static_cast<int>(version);  // before 5.13, or told not to
}

Result<void, std::string> enter_sandbox(std::span<const int> listening_sockets) {
    if (!IsSanitized)
        if (const auto entered = enter_landlock(); !entered) return entered;
    if (const auto done = protect_listening_sockets(listening_sockets); !done) return done;
    return enter_seccomp();
}

}  // namespace proxyd
