// SPDX-License-Identifier: MIT
//
// What a worker of tcpshim can't do, whatever it has been turned into by a backend or a client.
#include "base/daemon/confinement/privileges.h"
#include "base/daemon/confinement/shared_descriptors.h"
#include "base/daemon/process_start.h"
#include "tcpshim/sandbox.h"
#include "tests/support/tcp_pair.h"
#include "tests/unit/catch.h"
#include "tests/unit/sandboxed.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

using namespace proxyd;
using test::KilledBySeccomp;

namespace {

shim::Configuration with_backend(shim::BackendKind kind) {
    shim::Configuration configuration;
    configuration.sites.emplace_back().backends.emplace_back().kind = kind;
    return configuration;
}

template <typename Attempt>
std::string in_sandbox(Attempt attempt, std::span<const int> site_sockets = {},
                       shim::BackendKind kind = shim::BackendKind::HostPort) {
    const shim::Configuration configuration = with_backend(kind);
    return test::in_child(
        [&] {
            const auto user = find_user({.name = "",
                                         .default_name = "proxyd",
                                         .processes = "workers",
                                         .program = "tcpshim"});
            return user && drop_privileges(*user) &&
                   shim::enter_sandbox(configuration, site_sockets);
        },
        attempt);
}

std::vector<UniqueFd> datagram_sockets(size_t count) {
    std::vector<UniqueFd> sockets(count);
    std::ranges::generate(
        sockets, [] { return UniqueFd::adopt(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)); });
    return sockets;
}

std::vector<int> numbers_of(const std::vector<UniqueFd>& sockets) {
    std::vector<int> numbers;
    for (const UniqueFd& socket : sockets)
        numbers.push_back(socket.borrow().number());
    return numbers;
}

}  // namespace

TEST_CASE("tcpshim's sandbox: site sockets stay as they are, for main and for those to come",
          "[tcpshim_sandbox]") {
    if (test::is_sandbox_left_out()) return;
    const std::vector<UniqueFd> sockets = datagram_sockets(100);
    std::vector<int> numbers = numbers_of(sockets);
    const int other = numbers.back();
    numbers.pop_back();
    std::ranges::reverse(numbers);
    const int on = 1;
    const sockaddr nowhere{AF_UNSPEC, {}};
    const auto attempt = [&](auto what) { return in_sandbox(what, numbers); };
    for (const int number : {numbers.front(), numbers[50], numbers.back()}) {
        CAPTURE(number);
        CHECK(attempt([=] { return shutdown(number, SHUT_RDWR) == 0; }) == KilledBySeccomp);
        CHECK(attempt([=] { return shutdown(number, SHUT_WR) == 0; }) == KilledBySeccomp);
        CHECK(attempt([=] { return connect(number, &nowhere, sizeof(nowhere)) == 0; }) ==
              KilledBySeccomp);
        CHECK(attempt([=] { return bind(number, &nowhere, sizeof(nowhere)) == 0; }) ==
              KilledBySeccomp);
        CHECK(attempt([=] {
                  return setsockopt(number, SOL_SOCKET, SO_RCVBUF, &on, sizeof(on)) == 0;
              }) == KilledBySeccomp);
        // The kernel takes 32 bits of a descriptor's number.
        CHECK(attempt([=] { return syscall(SYS_shutdown, 0x100000000L + number, 2) == 0; }) ==
              KilledBySeccomp);
    }
    CHECK(attempt([=] { return setsockopt(other, SOL_SOCKET, SO_RCVBUF, &on, sizeof(on)) == 0; }) ==
          "fine");
    CHECK(attempt([&] {
              retire_shared_descriptor(UniqueFd::adopt(numbers[50]));
              return socket(AF_INET, SOCK_STREAM, 0) > other;
          }) == "fine");
}

TEST_CASE("tcpshim's sandbox: ten thousand site sockets fit", "[tcpshim_sandbox]") {
    if (test::is_sandbox_left_out()) return;
    raise_descriptor_limit();
    rlimit limit;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    const size_t count = std::min<size_t>(10'000, limit.rlim_cur - 100);
    const std::vector<UniqueFd> sockets = datagram_sockets(count);
    const std::vector<int> numbers = numbers_of(sockets);
    REQUIRE(numbers.back() > 0);
    CHECK(in_sandbox([&] { return shutdown(numbers[count - 123], SHUT_RD) == 0; }, numbers) ==
          KilledBySeccomp);
}

TEST_CASE("tcpshim's sandbox: other processes are out of reach", "[tcpshim_sandbox]") {
    if (test::is_sandbox_left_out()) return;
    const pid_t parent = getpid();
    CHECK(in_sandbox([=] { return kill(parent, 0) == 0; }) == KilledBySeccomp);
    CHECK(in_sandbox([=] {
              const rlimit none{0, 0};
              return prlimit(parent, RLIMIT_CPU, &none, nullptr) == 0;
          }) == KilledBySeccomp);
    CHECK(in_sandbox([=] { return prlimit(parent, RLIMIT_CPU, nullptr, nullptr) == 0; }) ==
          KilledBySeccomp);
    CHECK(in_sandbox([] {
              const rlimit none{0, 0};
              return setrlimit(RLIMIT_NOFILE, &none) == 0;
          }) == KilledBySeccomp);
    CHECK(in_sandbox([] {
              rlimit limit;
              return getrlimit(RLIMIT_NOFILE, &limit) == 0;
          }) == "fine");
}

TEST_CASE("tcpshim's sandbox: Unix sockets are for those whose backends are such",
          "[tcpshim_sandbox]") {
    if (test::is_sandbox_left_out()) return;
    const auto make_one = [] { return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0; };
    CHECK(in_sandbox(make_one) == KilledBySeccomp);
    CHECK(in_sandbox(make_one, {}, shim::BackendKind::UnixStream) == "fine");
    CHECK(in_sandbox([] { return socket(AF_UNIX, SOCK_DGRAM, 0) >= 0; }, {},
                     shim::BackendKind::UnixStream) == KilledBySeccomp);
}
