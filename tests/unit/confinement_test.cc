// SPDX-License-Identifier: MIT
//
// What the parts of a sandbox can be told to leave open; what they close is in sandbox_test. Each
// attempt is made in a child.
#include "base/daemon/confinement/landlock.h"
#include "base/daemon/confinement/privileges.h"
#include "base/daemon/confinement/system_call_filter.h"
#include "base/posix/unique_fd.h"
#include "tests/support/tcp_pair.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/catch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <fstream>
#include <string>

using namespace proxyd;

namespace {

constexpr int NotEntered = 250;

// "fine", what errno said, or "killed by SYS".
template <typename Attempt>
std::string in_child(Attempt attempt) {
    const pid_t child = fork();
    if (child == 0) {
        errno = 0;
        _exit(attempt() ? 0 : errno);
    }
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status)) return std::string("killed by ") + sigabbrev_np(WTERMSIG(status));
    REQUIRE(WEXITSTATUS(status) != NotEntered);
    return WEXITSTATUS(status) == 0 ? "fine" : strerrorname_np(WEXITSTATUS(status));
}

// The reason is printed.
bool is_without_landlock([[maybe_unused]] int wanted) {
#ifdef PROXYD_SANITIZED
    WARN("left out: with sanitizers the sandbox is open, since their runtimes need it");
    return true;
#else
    if (landlock_version() >= wanted) return false;
    WARN("left out: this kernel's Landlock has version " << landlock_version());
    return true;
#endif
}

void enter_or_exit(const Result<void, std::string>& entered) {
    if (!entered) _exit(NotEntered);
}

bool can_read(const std::string& path) {
    return UniqueFd::adopt(open(path.c_str(), O_RDONLY | O_CLOEXEC)).is_open();
}

uint64_t permitted_capabilities() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> had{};
    syscall(SYS_capget, &header, had.data());
    return had[0].permitted | uint64_t{had[1].permitted} << 32;
}

User somebody_else() {
    return {"nobody", 65534, 65534, {}, true};
}

}  // namespace

TEST_CASE("confinement: what may be read can be read, a file or a directory's", "[confinement]") {
    if (is_without_landlock(1)) return;
    test::TemporaryDirectory directory;
    const std::string open_place = directory.path() / "open", file = directory.path() / "file",
                      other = directory.path() / "other";
    REQUIRE(mkdir(open_place.c_str(), 0755) == 0);
    for (const std::string& path : {open_place + "/inside", file, other})
        std::ofstream(path) << "content";
    const std::array<PathRule, 3> paths = {{{open_place, PathAccess::ReadFiles},
                                            {file, PathAccess::ReadFiles},
                                            {open_place + "/missing", PathAccess::ReadFiles}}};
    const auto reads = [&](const std::string& path) {
        return in_child([&] {
            enter_or_exit(drop_privileges(somebody_else()));
            enter_or_exit(enter_landlock({.paths = paths}));
            return can_read(path);
        });
    };
    REQUIRE(chmod(directory.path().c_str(), 0755) == 0);
    if (geteuid() != 0) {
        WARN("left out: only root can become somebody else");
        return;
    }
    CHECK(reads(open_place + "/inside") == "fine");
    CHECK(reads(open_place) == "fine");
    CHECK(reads(file) == "fine");
    CHECK(reads(other) == "EACCES");
    CHECK(reads(directory.path()) == "EACCES");
}

TEST_CASE("confinement: TCP connections are made by who may make them", "[confinement]") {
    if (is_without_landlock(4)) return;
    const UniqueFd listener = test::tcp_listener();
    sockaddr_in to{};
    socklen_t size = sizeof(to);
    REQUIRE(getsockname(listener.borrow().number(), reinterpret_cast<sockaddr*>(&to), &size) == 0);
    const auto connects = [&](bool may) {
        return in_child([&] {
            if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) _exit(NotEntered);
            enter_or_exit(enter_landlock({.paths = {}, .may_connect_tcp = may}));
            const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            return connect(client, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0;
        });
    };
    CHECK(connects(true) == "fine");
    CHECK(connects(false) == "EACCES");
}

TEST_CASE("confinement: a filter allows what it is told, by arguments too", "[confinement]") {
#ifdef PROXYD_SANITIZED
    WARN("left out: with sanitizers the sandbox is open, since their runtimes need it");
#else
    const auto with_filter = [](auto attempt) {
        return in_child([&] {
            if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) _exit(NotEntered);
            auto filter = SystemCallFilter::that_allows_nothing();
            filter.allow_basics();
            filter.allow(SCMP_SYS(getuid));
            filter.allow(SCMP_SYS(socket), {SystemCallFilter::argument_is(0, AF_UNIX)});
            enter_or_exit(filter.load());
            return attempt();
        });
    };
    CHECK(with_filter([] { return syscall(SYS_getuid) >= 0; }) == "fine");
    CHECK(with_filter([] { return syscall(SYS_getgid) >= 0; }) == "killed by SYS");
    CHECK(with_filter([] { return socket(AF_UNIX, SOCK_STREAM, 0) >= 0; }) == "fine");
    CHECK(with_filter([] { return socket(AF_INET, SOCK_STREAM, 0) >= 0; }) == "killed by SYS");
#endif
}

TEST_CASE("confinement: of the capabilities those that are kept are left", "[confinement]") {
    if (geteuid() != 0 || permitted_capabilities() == 0) {
        WARN("left out: only root has capabilities to keep");
        return;
    }
    constexpr std::array<int, 2> Kept = {CAP_NET_BIND_SERVICE, CAP_CHECKPOINT_RESTORE};
    const uint64_t had = permitted_capabilities();
    const uint64_t wanted = had & (uint64_t{1} << Kept[0] | uint64_t{1} << Kept[1]);
    CHECK(in_child([&] {
              enter_or_exit(drop_privileges(somebody_else(), Kept));
              return permitted_capabilities() == wanted && getuid() == 65534;
          }) == "fine");
    CHECK(in_child([&] {
              enter_or_exit(drop_privileges(somebody_else(), Kept));
              return setuid(0) == 0;
          }) == "EPERM");
    CHECK(in_child([&] {
              enter_or_exit(drop_privileges(somebody_else()));
              return permitted_capabilities() == 0;
          }) == "fine");
}
