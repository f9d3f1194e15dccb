// SPDX-License-Identifier: MIT
//
// privileges.h and sandbox.h, in a child that takes the steps of a worker and then does what no
// worker should be able to: each attempt fails, or is the end of the child.
#include "proxyd/sandbox.h"

#include "base/daemon/confinement/landlock.h"
#include "base/daemon/confinement/privileges.h"
#include "tests/support/fd_census.h"
#include "tests/support/tcp_pair.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/catch.h"
#include "tests/unit/sandboxed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

using namespace proxyd;

namespace {

template <typename Attempt>
std::string in_sandbox(Attempt attempt, bool with_filter = true,
                       std::span<const int> listening_sockets = {}) {
    return test::in_child(
        [=] {
            const auto user = find_worker_user("");
            return user && drop_privileges(*user) &&
                   (!with_filter || enter_sandbox(listening_sockets));
        },
        attempt);
}

struct Place : test::TemporaryDirectory {
    Place() {
        chmod(path().c_str(), 0777);
        std::ofstream(path() / "file") << "content";
        chmod((path() / "file").c_str(), 0666);
    }
    std::string file = path() / "file";
    std::string missing = path() / "missing";
};

sockaddr_un unix_address(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    return address;
}

bool connects(int socket, const sockaddr_un& address) {
    return connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

using test::KilledBySeccomp, test::Refused;

}  // namespace

TEST_CASE_METHOD(Place, "sandbox: no file is read, and none is made", "[sandbox]") {
    if (test::is_sandbox_left_out(1)) return;
    CHECK(in_sandbox([&] { return open(file.c_str(), O_RDONLY) >= 0; }) == Refused);
    CHECK(in_sandbox([&] { return open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0; }) == Refused);
    CHECK(in_sandbox([&] { return open(file.c_str(), O_WRONLY) >= 0; }) == KilledBySeccomp);
    CHECK(in_sandbox([&] { return open(file.c_str(), O_RDWR) >= 0; }) == KilledBySeccomp);
    CHECK(in_sandbox([&] { return open(file.c_str(), O_RDONLY | O_TRUNC) >= 0; }) ==
          KilledBySeccomp);
    CHECK(in_sandbox([&] { return open(missing.c_str(), O_RDONLY | O_CREAT, 0600) >= 0; }) ==
          KilledBySeccomp);
    CHECK(in_sandbox([&] { return open(path().c_str(), O_TMPFILE | O_RDWR, 0600) >= 0; }) ==
          KilledBySeccomp);
    CHECK(in_sandbox([&] { return mkdir(missing.c_str(), 0700) == 0; }) == KilledBySeccomp);
    CHECK(in_sandbox([&] { return unlink(file.c_str()) == 0; }) == KilledBySeccomp);
    CHECK(in_sandbox([&] { return rename(file.c_str(), missing.c_str()) == 0; }) ==
          KilledBySeccomp);
    CHECK(in_sandbox([&] { return chmod(file.c_str(), 0600) == 0; }) == KilledBySeccomp);
    CHECK_FALSE(std::filesystem::exists(missing));
}

TEST_CASE("sandbox: no program is run, and no process is made", "[sandbox]") {
    if (test::is_sandbox_left_out()) return;
    CHECK(in_sandbox([] { return execl("/bin/true", "true", static_cast<char*>(nullptr)) == 0; }) ==
          KilledBySeccomp);
    CHECK(in_sandbox([] { return fork() >= 0; }) == KilledBySeccomp);
    CHECK(in_sandbox([] { return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0; }) == KilledBySeccomp);
}

TEST_CASE("sandbox: no memory becomes a program", "[sandbox]") {
    if (test::is_sandbox_left_out()) return;
    constexpr size_t Bytes = 4096;
    CHECK(in_sandbox([] {
              return mmap(nullptr, Bytes, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                          0) != MAP_FAILED;
          }) == KilledBySeccomp);
    CHECK(in_sandbox([] {
              void* const memory =
                  mmap(nullptr, Bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
              return mprotect(memory, Bytes, PROT_READ | PROT_EXEC) == 0;
          }) == KilledBySeccomp);
}

TEST_CASE("sandbox: no socket that could reach anybody but sites", "[sandbox]") {
    if (test::is_sandbox_left_out()) return;
    for (const auto& [family, type] : {std::pair{AF_INET, SOCK_STREAM},
                                       {AF_INET6, SOCK_STREAM},
                                       {AF_INET, SOCK_DGRAM},
                                       {AF_UNIX, SOCK_STREAM},
                                       {AF_UNIX, SOCK_SEQPACKET},
                                       {AF_NETLINK, SOCK_DGRAM}}) {
        CAPTURE(family, type);
        const int kind = family, how = type;
        CHECK(in_sandbox([=] { return socket(kind, how | SOCK_CLOEXEC, 0) >= 0; }) ==
              KilledBySeccomp);
    }
}

TEST_CASE("sandbox: a client's socket is not turned into another connection", "[sandbox]") {
    if (test::is_sandbox_left_out(4)) return;
    const UniqueFd listener = test::tcp_listener();
    sockaddr_in to{};
    socklen_t size = sizeof(to);
    REQUIRE(getsockname(listener.borrow().number(), reinterpret_cast<sockaddr*>(&to), &size) == 0);
    test::TcpPair pair = test::tcp_pair();
    const int accepted = pair.accepted.borrow().number();
    const auto attempt = [&] {
        sockaddr none{};
        none.sa_family = AF_UNSPEC;
        if (connect(accepted, &none, sizeof(none)) != 0) return false;
        return connect(accepted, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0;
    };
    CHECK(in_sandbox(attempt) == Refused);
    // It is the sandbox that refuses.
    pair = test::tcp_pair();
    CHECK(in_sandbox(
              [&] {
                  sockaddr none{};
                  none.sa_family = AF_UNSPEC;
                  const int number = pair.accepted.borrow().number();
                  return connect(number, &none, sizeof(none)) == 0 &&
                         connect(number, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0;
              },
              false) == "fine");
}

TEST_CASE("sandbox: other processes are out of reach", "[sandbox]") {
    if (test::is_sandbox_left_out()) return;
    const pid_t parent = getpid();
    CHECK(in_sandbox([=] { return kill(parent, 0) == 0; }) == KilledBySeccomp);
    CHECK(in_sandbox([=] { return syscall(SYS_tgkill, parent, parent, 0) == 0; }) ==
          KilledBySeccomp);
    CHECK(in_sandbox([=] { return ptrace(PTRACE_ATTACH, parent, nullptr, nullptr) == 0; }) ==
          KilledBySeccomp);
    CHECK(in_sandbox([=] { return syscall(SYS_pidfd_open, parent, 0) >= 0; }) == KilledBySeccomp);
    CHECK(in_sandbox([] { return raise(SIGURG) == 0; }) == "fine");  // abort(3) needs it
}

TEST_CASE_METHOD(Place, "sandbox: nobody is sent signals by way of a descriptor", "[sandbox]") {
    if (test::is_sandbox_left_out()) return;
    const test::TcpPair pair = test::tcp_pair();
    const int accepted = pair.accepted.borrow().number();
    CHECK(in_sandbox([=] { return fcntl(accepted, F_SETOWN, getpid()) == 0; }) == KilledBySeccomp);
    CHECK(in_sandbox([=] { return fcntl(accepted, F_SETSIG, SIGKILL) == 0; }) == KilledBySeccomp);
    CHECK(in_sandbox([=] { return fcntl(accepted, F_GETFL) >= 0; }) == "fine");
}

TEST_CASE_METHOD(Place, "sandbox: what others have open, too, stays as it is", "[sandbox]") {
    if (test::is_sandbox_left_out()) return;
    const test::TcpPair pair = test::tcp_pair();
    const int accepted = pair.accepted.borrow().number();
    const int listener = pair.client.borrow().number();  // any socket will do
    const int on = 1;
    const auto with_listener = [&](auto attempt) {
        return in_sandbox(attempt, true, {&listener, 1});
    };
    CHECK(with_listener([=] { return fcntl(listener, F_SETFL, 0) == 0; }) == KilledBySeccomp);
    CHECK(with_listener([=] { return shutdown(listener, SHUT_RDWR) == 0; }) == KilledBySeccomp);
    CHECK(with_listener([=] { return shutdown(listener, SHUT_RD) == 0; }) == KilledBySeccomp);
    const sockaddr nowhere{AF_UNSPEC, {}};
    CHECK(with_listener([=] { return connect(listener, &nowhere, sizeof(nowhere)) == 0; }) ==
          KilledBySeccomp);
    // The kernel takes 32 bits of a descriptor's number.
    CHECK(with_listener([=] {
              return syscall(SYS_connect, 0x100000000L + listener, &nowhere, sizeof(nowhere)) == 0;
          }) == KilledBySeccomp);
    CHECK(with_listener([=] {
              return setsockopt(listener, SOL_SOCKET, SO_RCVLOWAT, &on, sizeof(on)) == 0;
          }) == KilledBySeccomp);
    CHECK(with_listener([=] { return dup(listener) >= 0; }) == KilledBySeccomp);
    CHECK(with_listener([=] { return dup3(listener, 200, O_CLOEXEC) >= 0; }) == KilledBySeccomp);
    CHECK(with_listener([=] { return dup3(STDIN_FILENO, listener, O_CLOEXEC) >= 0; }) == "fine");
    CHECK(with_listener([=] {
              return setsockopt(accepted, SOL_SOCKET, SO_RCVLOWAT, &on, sizeof(on)) == 0 &&
                     shutdown(accepted, SHUT_WR) == 0;
          }) == "fine");
    CHECK(with_listener([=] {
              return setsockopt(accepted, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) == 0;
          }) == KilledBySeccomp);
}

TEST_CASE_METHOD(Place, "sandbox: a client's socket connects to nobody else by a fast open",
                 "[sandbox]") {
    if (test::is_sandbox_left_out()) return;
    const test::TcpPair pair = test::tcp_pair();
    const int accepted = pair.accepted.borrow().number();
    const sockaddr nowhere{AF_UNSPEC, {}};
    sockaddr_in elsewhere{};
    elsewhere.sin_family = AF_INET;
    elsewhere.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    elsewhere.sin_port = htons(9);
    CHECK(in_sandbox([=] {
              connect(accepted, &nowhere, sizeof(nowhere));
              return sendto(accepted, "x", 1, MSG_FASTOPEN,
                            reinterpret_cast<const sockaddr*>(&elsewhere), sizeof(elsewhere)) == 1;
          }) == KilledBySeccomp);
}

TEST_CASE_METHOD(Place, "sandbox: a site is found and reached", "[sandbox]") {
    // Without the user change it would be root's directory that is listed.
    const std::string name = path() / "site.sock";
    const UniqueFd site = UniqueFd::adopt(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const sockaddr_un at = unix_address(name);
    REQUIRE(bind(site.borrow().number(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)) == 0);
    REQUIRE(chmod(name.c_str(), 0777) == 0);
    CHECK(in_sandbox([&] {
              DIR* const directory = opendir(path().c_str());
              if (directory == nullptr) return false;
              int count = 0;
              while (readdir(directory) != nullptr)
                  count++;
              closedir(directory);
              return count == 4;  // with . and ..
          }) == "fine");
    CHECK(in_sandbox([&] {
              const int place = open(path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
              const int found = openat(place, "site.sock", O_PATH | O_NOFOLLOW | O_CLOEXEC);
              struct stat status;
              if (found < 0 || fstat(found, &status) != 0 || !S_ISSOCK(status.st_mode))
                  return false;
              const int to = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
              return connects(to, unix_address(fmt::format("/proc/self/fd/{}", found))) &&
                     send(to, "hello", 5, MSG_NOSIGNAL) == 5;
          }) == "fine");
    char buffer[16];
    CHECK(recv(site.borrow().number(), buffer, sizeof(buffer), MSG_DONTWAIT) == 5);
}

TEST_CASE("privileges: nothing can be had back", "[sandbox]") {
    if (geteuid() != 0) {
        WARN("left out: only root has privileges to give up");
        return;
    }
    CHECK(in_sandbox([] { return setuid(0) == 0; }, false) == "refused: Operation not permitted");
    CHECK(in_sandbox([] { return setgid(0) == 0; }, false) == "refused: Operation not permitted");
    CHECK(in_sandbox([] { return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1; }, false) == "fine");
    CHECK(in_sandbox([] { return prctl(PR_CAPBSET_READ, 0, 0, 0, 0) == 0; }, false) == "fine");
    CHECK(in_sandbox([] { return getuid() != 0 && getgid() != 0 && getgroups(0, nullptr) >= 0; },
                     false) == "fine");
}

TEST_CASE("privileges: users that can't be had are named", "[sandbox]") {
    const auto unknown = find_worker_user("no-such-user");
    REQUIRE_FALSE(unknown.has_value());
    CHECK(unknown.error() == "there is no user 'no-such-user'");
    const auto own = find_worker_user("root");
    if (geteuid() == 0) {
        REQUIRE(own.has_value());
        CHECK_FALSE(own->is_somebody_else);
    } else {
        REQUIRE_FALSE(own.has_value());
        CHECK(own.error() ==
              "workers can't be made to run as 'root' by a proxyd that isn't started as root");
    }
}
