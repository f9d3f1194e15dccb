// SPDX-License-Identifier: MIT
#include "base/daemon/service_manager.h"

#include "tests/support/fd_census.h"
#include "tests/support/tcp_pair.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/catch.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace proxyd {
namespace {

// Stands for the manager: where NOTIFY_SOCKET leads.
class Manager {
  public:
    Manager() {
        sockaddr_un address{AF_UNIX, {}};
        const std::string path = directory_.path() / "notify";
        path.copy(address.sun_path, sizeof(address.sun_path) - 1);
        socket_ = UniqueFd::adopt(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        REQUIRE(bind(socket_.borrow().number(), reinterpret_cast<const sockaddr*>(&address),
                     sizeof(address)) == 0);
        setenv("NOTIFY_SOCKET", path.c_str(), 1);
    }
    ~Manager() { unsetenv("NOTIFY_SOCKET"); }

    std::string received() {
        std::array<char, 4096> buffer;
        const ssize_t size =
            recv(socket_.borrow().number(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        return size < 0 ? "nothing" : std::string(buffer.data(), static_cast<size_t>(size));
    }

  private:
    test::TemporaryDirectory directory_;
    UniqueFd socket_;
};

// What `act` says in a process of its own, where it may do what it likes to descriptors and the
// environment.
std::string in_a_child(const std::function<std::string()>& act) {
    std::array<int, 2> ends;
    REQUIRE(pipe2(ends.data(), O_CLOEXEC) == 0);
    const UniqueFd from = UniqueFd::adopt(ends[0]);
    UniqueFd to = UniqueFd::adopt(ends[1]);
    const pid_t child = fork();
    if (child == 0) {
        // Away from where inherited descriptors begin.
        const int out = fcntl(to.borrow().number(), F_DUPFD, 100);
        const std::string said = act();
        const ssize_t written = write(out, said.data(), said.size());
        _exit(written == static_cast<ssize_t>(said.size()) ? 0 : 1);
    }
    to.close();
    std::array<char, 4096> buffer;
    std::string said;
    for (ssize_t size; (size = read(from.borrow().number(), buffer.data(), buffer.size())) > 0;)
        said.append(buffer.data(), static_cast<size_t>(size));
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(status == 0);
    return said;
}

// As systemd does: `fds` become 3, 4 and so on.
void pass(const std::vector<int>& fds, const char* names) {
    std::vector<int> copies;
    for (const int fd : fds)
        copies.push_back(fcntl(fd, F_DUPFD, 100));
    for (size_t i = 0; i < copies.size(); i++)
        dup2(copies[i], static_cast<int>(3 + i));
    setenv("LISTEN_PID", fmt::format("{}", getpid()).c_str(), 1);
    setenv("LISTEN_FDS", fmt::format("{}", fds.size()).c_str(), 1);
    setenv("LISTEN_FDNAMES", names, 1);
}

std::string adopted() {
    const auto sockets = adopt_inherited_sockets();
    std::string said;
    if (!sockets) {
        for (const std::string& error : sockets.error())
            said += error + "\n";
        return said;
    }
    for (const InheritedSocket& inherited : *sockets) {
        SocketAddress::Text text;
        const BorrowedFd fd = inherited.socket;
        said += fmt::format("{} {} {}{}{}\n", fd.number(), inherited.name,
                            inherited.address.format(text),
                            test::is_close_on_exec(fd) ? " close-on-exec" : "",
                            test::is_blocking(fd) ? "" : " non-blocking");
    }
    for (const char* variable : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"})
        said += getenv(variable) != nullptr ? fmt::format("{} is still there\n", variable) : "";
    return said;
}

std::string address_of(const UniqueFd& socket) {
    SocketAddress::Text text;
    return std::string(SocketAddress::local_of(socket)->format(text));
}

UniqueFd wildcard_listener(int v6_only) {
    UniqueFd listener = UniqueFd::adopt(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int fd = listener.borrow().number();
    REQUIRE(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only)) == 0);
    REQUIRE(listen(fd, 1) == 0);  // on a port of the kernel's choice
    return listener;
}

TEST_CASE("does nothing without a service manager", "[service_manager]") {
    const auto before = test::open_fds();
    CHECK(notify_ready("up"));
    CHECK(notify_reloading("again"));
    CHECK(notify_stopping("down"));
    CHECK(notify_status("so so"));
    CHECK(notify_alive());
    CHECK_FALSE(watchdog_interval());
    CHECK(adopt_inherited_sockets()->empty());
    CHECK(test::open_fds() == before);
}

TEST_CASE("tells the manager each state in one message", "[service_manager]") {
    const auto before = test::open_fds();
    {
        Manager manager;
        CHECK(notify_ready("2 workers"));
        CHECK(manager.received() == "READY=1\nSTATUS=2 workers");
        CHECK(notify_stopping("finishing 3 sessions"));
        CHECK(manager.received() == "STOPPING=1\nSTATUS=finishing 3 sessions");
        CHECK(notify_status("fine"));
        CHECK(manager.received() == "STATUS=fine");
        CHECK(notify_alive());
        CHECK(manager.received() == "WATCHDOG=1");
        CHECK(manager.received() == "nothing");
    }
    CHECK(test::open_fds() == before);
}

TEST_CASE("a status can't set another variable", "[service_manager]") {
    Manager manager;
    CHECK(notify_status("a\nMAINPID=1\r\t\x7f"));
    CHECK(manager.received() == "STATUS=a MAINPID=1   ");
}

TEST_CASE("tells when a reload began, by the monotonic clock", "[service_manager]") {
    Manager manager;
    timespec before{}, after{};
    clock_gettime(CLOCK_MONOTONIC, &before);
    CHECK(notify_reloading("reading the configuration"));
    clock_gettime(CLOCK_MONOTONIC, &after);
    unsigned long long told = 0;
    int end = 0;
    const std::string message = manager.received();
    REQUIRE(sscanf(message.c_str(), "RELOADING=1\nMONOTONIC_USEC=%llu\n%n", &told, &end) == 1);
    CHECK(message.substr(static_cast<size_t>(end)) == "STATUS=reading the configuration");
    const auto in_microseconds = [](const timespec& time) {
        return static_cast<unsigned long long>(time.tv_sec) * 1'000'000 +
               static_cast<unsigned long long>(time.tv_nsec) / 1000;
    };
    CHECK(told >= in_microseconds(before));
    CHECK(told <= in_microseconds(after));
}

TEST_CASE("says why the manager couldn't be told", "[service_manager]") {
    setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1);
    CHECK(notify_ready("up").error() == Errno{ENOENT});
    unsetenv("NOTIFY_SOCKET");
}

TEST_CASE("wants to be asked twice in the watchdog's time", "[service_manager]") {
    setenv("WATCHDOG_USEC", "30000000", 1);
    CHECK(watchdog_interval() == std::chrono::seconds(15));
    setenv("WATCHDOG_PID", fmt::format("{}", getpid()).c_str(), 1);
    CHECK(watchdog_interval() == std::chrono::seconds(15));
    setenv("WATCHDOG_PID", "1", 1);  // somebody else is watched
    CHECK_FALSE(watchdog_interval());
    unsetenv("WATCHDOG_PID");
    setenv("WATCHDOG_USEC", "soon", 1);
    CHECK_FALSE(watchdog_interval());
    unsetenv("WATCHDOG_USEC");
}

TEST_CASE("takes over listening sockets and clears the environment", "[service_manager]") {
    const auto before = test::open_fds();
    {
        const UniqueFd ipv4 = test::tcp_listener(AF_INET), ipv6 = test::tcp_listener(AF_INET6),
                       wildcard = wildcard_listener(1);
        const std::string said = in_a_child([&] {
            pass({ipv4.borrow().number(), ipv6.borrow().number(), wildcard.borrow().number()},
                 "web:proxyd.socket:web");
            return adopted();
        });
        CHECK(said == fmt::format("3 web {} close-on-exec non-blocking\n"
                                  "4 proxyd.socket {} close-on-exec non-blocking\n"
                                  "5 web {} close-on-exec non-blocking\n",
                                  address_of(ipv4), address_of(ipv6), address_of(wildcard)));
    }
    CHECK(test::open_fds() == before);
}

TEST_CASE("a second call finds nothing", "[service_manager]") {
    const UniqueFd listener = test::tcp_listener();
    CHECK(in_a_child([&] {
              pass({listener.borrow().number()}, "web");
              const auto first = adopt_inherited_sockets();
              return first->size() == 1 ? adopted() : "the first call found nothing";
          }) == "");
}

TEST_CASE("sockets for another process are left alone", "[service_manager]") {
    const UniqueFd listener = test::tcp_listener();
    CHECK(in_a_child([&] {
              pass({listener.borrow().number()}, "web");
              setenv("LISTEN_PID", "1", 1);
              return fmt::format("{}{}", adopted(), fcntl(3, F_GETFD) >= 0);
          }) == "true");
}

TEST_CASE("says what each socket should have been that can't be a listener", "[service_manager]") {
    const test::TcpPair pair = test::tcp_pair();
    const UniqueFd datagram = UniqueFd::adopt(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)),
                   local = UniqueFd::adopt(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)),
                   file = UniqueFd::adopt(open("/dev/null", O_RDONLY | O_CLOEXEC)),
                   both_families = wildcard_listener(0);
    const std::string said = in_a_child([&] {
        pass({pair.accepted.borrow().number(), datagram.borrow().number(), local.borrow().number(),
              file.borrow().number(), both_families.borrow().number()},
             "a:b:c:d:e");
        return adopted();
    });
    CHECK(said ==
          fmt::format(
              "LISTEN_FDS: descriptor 3 (a) is no listening socket: want Accept=no\n"
              "LISTEN_FDS: descriptor 4 (b) is no TCP socket: want ListenStream= with a port or an "
              "address and a port\n"
              "LISTEN_FDS: descriptor 5 (c) is no TCP socket: want ListenStream= with a port or an "
              "address and a port\n"
              "LISTEN_FDS: descriptor 6 (d) is no TCP socket: want ListenStream= with a port or an "
              "address and a port\n"
              "LISTEN_FDS: descriptor 7 (e) takes IPv4 clients on an IPv6 address: want "
              "ListenStream=0.0.0.0:{0}, ListenStream=[::]:{0} and BindIPv6Only=ipv6-only\n",
              SocketAddress::local_of(both_families)->port()));
}

TEST_CASE("a descriptor that isn't open, and names that don't fit", "[service_manager]") {
    const UniqueFd listener = test::tcp_listener();
    CHECK(in_a_child([] {
              pass({}, "");
              close(3);
              setenv("LISTEN_FDS", "1", 1);
              unsetenv("LISTEN_FDNAMES");
              return adopted();
          }) ==
          "LISTEN_FDS: the sockets of the service manager can't be taken: Bad file descriptor\n");
    CHECK(in_a_child([&] {
              pass({listener.borrow().number()}, "one:two");
              return adopted();
          }) ==
          "LISTEN_FDS: the sockets of the service manager can't be taken: Invalid argument\n");
}

}  // namespace
}  // namespace proxyd
