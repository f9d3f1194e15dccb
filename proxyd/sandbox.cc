// SPDX-License-Identifier: MIT
//
// What a worker may still do once it has met a client. Landlock says which objects, seccomp which
// calls; the second is needed for all that isn't a file, the first because seccomp can't look at a
// path. A client's TCP socket could be disconnected and connected to somewhere else (connect(2),
// AF_UNSPEC): Landlock refuses that where the kernel is 6.7 or newer; MSG_FASTOPEN, which connects
// past Landlock (measured on 6.18), is refused here. A listening socket could be disconnected, too,
// or be given options that outlive us: main and our successors have the same open file.
#include "proxyd/sandbox.h"

#include "base/daemon/confinement/landlock.h"
#include "base/daemon/confinement/shared_descriptors.h"
#include "base/daemon/confinement/system_call_filter.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

namespace proxyd {
namespace {

using Filter = SystemCallFilter;

constexpr uint64_t SocketTypeMask = 0xf;  // the rest are flags (socket(2))

// clang-format off
constexpr int AllowedCalls[] = {
    // Clients and sites.
    SCMP_SYS(accept4), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(close_range), SCMP_SYS(connect),
    SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(getsockopt),
    // Site directories; openat only to read them, see below.
    SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(getdents64), SCMP_SYS(lseek),
    SCMP_SYS(inotify_add_watch), SCMP_SYS(inotify_rm_watch),
    // For what is said of a site directory that keeps its user out.
    SCMP_SYS(geteuid),
};
// clang-format on

Result<void, std::string> allow_calls() {
    constexpr uint64_t OpenFlags = O_ACCMODE | O_CREAT | O_TRUNC;
    Filter filter = Filter::that_allows_nothing();
    filter.allow_basics();
    for (const int call : AllowedCalls)
        filter.allow(call);
    filter.allow(SCMP_SYS(openat), {Filter::argument_is(2, OpenFlags, O_RDONLY)});
    filter.allow(SCMP_SYS(open), {Filter::argument_is(1, OpenFlags, O_RDONLY)});
    // Site sockets, and nothing that listens for connections, main's control socket above all.
    filter.allow(SCMP_SYS(socket), {Filter::argument_is(0, AF_UNIX),
                                    Filter::argument_is(1, SocketTypeMask, SOCK_DGRAM)});
    for (const int command : {F_GETFL, F_GETFD, F_SETFD})  // fdopendir(3)
        filter.allow(SCMP_SYS(fcntl), {Filter::argument_is(1, command)});
    filter.allow(SCMP_SYS(sendto), {Filter::argument_is(3, MSG_FASTOPEN, 0)});
    filter.allow(SCMP_SYS(sendmsg), {Filter::argument_is(2, MSG_FASTOPEN, 0)});
    filter.allow(SCMP_SYS(sendmmsg), {Filter::argument_is(3, MSG_FASTOPEN, 0)});
    filter.allow(SCMP_SYS(shutdown),
                 {Filter::argument_is(1, SHUT_WR)});  // without effect on a listener
    filter.allow(SCMP_SYS(setsockopt),
                 {Filter::argument_is(1, SOL_SOCKET), Filter::argument_is(2, SO_RCVLOWAT)});
    filter.allow(SCMP_SYS(dup3), {Filter::argument_is(0, STDIN_FILENO)});
    filter.allow(SCMP_SYS(ioctl), {Filter::argument_is(1, SIOCOUTQ)});
    return filter.load();
}

}  // namespace

Result<User, std::string> find_worker_user(std::string_view name) {
    return find_user(
        {.name = name, .default_name = "proxyd", .processes = "workers", .program = "proxyd"});
}

Result<void, std::string> enter_sandbox(std::span<const int> listening_sockets) {
    const std::array<PathRule, 1> paths = {{{"/", PathAccess::ListDirectories}}};
    if (const auto entered = enter_landlock({.paths = paths}); !entered) return entered;
    if (const auto done = protect_shared_descriptors(listening_sockets); !done) return done;
    return allow_calls();
}

}  // namespace proxyd
