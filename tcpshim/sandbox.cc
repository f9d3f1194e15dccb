// SPDX-License-Identifier: MIT
//
// Connecting to backends and resolvers is what a worker is for, so Landlock can't keep it from
// that; but it listens nowhere, and opens no file: the resolver has read its own at the start.
#include "tcpshim/sandbox.h"

#include "base/daemon/confinement/landlock.h"
#include "base/daemon/confinement/system_call_filter.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>

namespace proxyd::shim {
namespace {

using Filter = SystemCallFilter;

constexpr uint64_t SocketTypeMask = 0xf;  // the rest are flags (socket(2))

// clang-format off
constexpr int AllowedCalls[] = {
    // Clients, backends and site sockets.
    SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg),
    SCMP_SYS(splice), SCMP_SYS(pipe2), SCMP_SYS(connect), SCMP_SYS(shutdown), SCMP_SYS(readv),
    SCMP_SYS(close_range),
    SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),
    // What libraries look at; Landlock lets them open nothing.
    SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(lseek), SCMP_SYS(getrlimit),
    SCMP_SYS(prlimit64), SCMP_SYS(geteuid), SCMP_SYS(getuid), SCMP_SYS(uname),
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
    for (const int family : {AF_INET, AF_INET6})
        for (const int type : {SOCK_STREAM, SOCK_DGRAM})  // backends, resolvers
            filter.allow(SCMP_SYS(socket),
                         {Filter::argument_is(0, family),
                          Filter::argument_is(1, SocketTypeMask, static_cast<uint64_t>(type))});
    filter.allow(SCMP_SYS(socket), {Filter::argument_is(0, AF_UNIX),
                                    Filter::argument_is(1, SocketTypeMask, SOCK_STREAM)});
    // A socket of its own to the client's address.
    filter.allow(SCMP_SYS(bind));
    for (const int command : {F_GETFL, F_SETFL, F_GETFD, F_SETFD, F_SETPIPE_SZ, F_GETPIPE_SZ})
        filter.allow(SCMP_SYS(fcntl), {Filter::argument_is(1, command)});
    for (const int command : {FIONREAD, FIONBIO, SIOCATMARK})
        filter.allow(SCMP_SYS(ioctl), {Filter::argument_is(1, command)});
    return filter.load();
}

}  // namespace

Result<void, std::string> enter_sandbox(const Configuration& configuration) {
    const bool is_any_transparent =
        std::ranges::any_of(configuration.sites, &SiteConfiguration::is_transparent);
    if (const auto entered = enter_landlock(
            {.paths = {}, .may_connect_tcp = true, .may_bind_tcp = is_any_transparent});
        !entered)
        return entered;
    return allow_calls();
}

}  // namespace proxyd::shim
