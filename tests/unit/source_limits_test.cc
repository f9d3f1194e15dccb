// SPDX-License-Identifier: MIT
#include "proxyd/source_limits.h"

#include "tests/unit/catch.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <vector>

using namespace std::chrono_literals;
using proxyd::Clock;
using proxyd::SocketAddress;
using proxyd::SourceLimits;
using proxyd::SourceMaxima;
using proxyd::SourceVerdict;

namespace {

constexpr Clock::time_point Start{1000h};

SourceLimits make(SourceMaxima maxima, size_t columns = 4) {
    auto limits = SourceLimits::create(columns, maxima);
    REQUIRE(limits.has_value());
    return *std::move(limits);
}

SocketAddress address(std::string_view text) {
    return SocketAddress::parse_host(text, 1234).value();
}

SocketAddress numbered(uint32_t number) {
    return SocketAddress::from_ipv4({number}, 1);
}

// How many of `count` connections, all at `now`, are let in.
size_t admitted(SourceLimits& limits, const SocketAddress& source, size_t count,
                Clock::time_point now, size_t column = 0) {
    size_t result = 0;
    for (size_t i = 0; i < count; i++)
        if (limits.admit(column, source, now) == SourceVerdict::Fine) result++;
    return result;
}

// What processes share for counting what they do.
struct Tally {
    std::atomic<size_t> in{0};
    std::atomic<size_t> in_most{0};
    std::atomic<size_t> admitted{0};
    std::atomic<size_t> ready{0};
};

Tally& shared_tally() {
    void* const area =
        mmap(nullptr, sizeof(Tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(area != MAP_FAILED);
    return *new (area) Tally;
}

template <typename Work>
pid_t start_process(Work work) {
    const pid_t pid = fork();
    if (pid == 0) {
        work();
        _exit(0);
    }
    REQUIRE(pid > 0);
    return pid;
}

bool ended_well(pid_t pid) {
    int status = 0;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// Comes and goes as often as it may, and notes how many were in at once.
void come_and_go(SourceLimits& limits, size_t column, const SocketAddress& source, Tally& tally) {
    for (int round = 0; round < 2000; round++) {
        size_t own = 0;
        for (int i = 0; i < 5; i++) {
            if (limits.admit(column, source, Start) != SourceVerdict::Fine) continue;
            own++;
            const size_t now_in = ++tally.in;
            size_t most = tally.in_most;
            while (now_in > most && !tally.in_most.compare_exchange_weak(most, now_in)) {
            }
        }
        tally.in -= own;
        for (; own > 0; own--)
            limits.leave(column, source);
    }
}

}  // namespace

TEST_CASE("a source gets as many sessions as the limit says, and another when one ends",
          "[source_limits]") {
    SourceLimits limits = make({.sessions = 3});
    const SocketAddress source = address("192.0.2.1");

    CHECK(admitted(limits, source, 3, Start) == 3);
    CHECK(limits.admit(0, source, Start) == SourceVerdict::TooManySessions);
    CHECK(limits.sessions_of(source) == 3);
    limits.leave(0, source);
    CHECK(admitted(limits, source, 2, Start) == 1);
}

TEST_CASE("sessions of all workers count together", "[source_limits]") {
    SourceLimits limits = make({.sessions = 4});
    const SocketAddress source = address("192.0.2.1");

    CHECK(admitted(limits, source, 2, Start, 0) == 2);
    CHECK(admitted(limits, source, 1, Start, 3) == 1);
    CHECK(admitted(limits, source, 2, Start, 1) == 1);
    limits.leave(3, source);
    CHECK(admitted(limits, source, 2, Start, 2) == 1);
}

TEST_CASE("other sources are not concerned", "[source_limits]") {
    SourceLimits limits = make({.sessions = 1, .connections_per_second = 1});

    CHECK(admitted(limits, address("192.0.2.1"), 2, Start) == 1);
    CHECK(admitted(limits, address("192.0.2.2"), 2, Start) == 1);
    CHECK(admitted(limits, address("2001:db8::1"), 2, Start) == 1);
}

TEST_CASE("an IPv6 /64 is one source, whatever the port", "[source_limits]") {
    SourceLimits limits = make({.sessions = 1});

    CHECK(limits.admit(0, address("2001:db8:0:1::1"), Start) == SourceVerdict::Fine);
    CHECK(limits.admit(0, address("2001:db8:0:1:ffff::2"), Start) ==
          SourceVerdict::TooManySessions);
    CHECK(limits.admit(0, address("2001:db8:0:2::1"), Start) == SourceVerdict::Fine);
    CHECK(limits.admit(0, address("::ffff:192.0.2.1"), Start) == SourceVerdict::Fine);
    CHECK(limits.admit(0, address("192.0.2.1"), Start) == SourceVerdict::TooManySessions);
    CHECK(limits.admit(0, address("::ffff:192.0.2.2"), Start) == SourceVerdict::Fine);
}

TEST_CASE("0 is no limit", "[source_limits]") {
    SourceLimits limits = make({});

    CHECK(admitted(limits, address("192.0.2.1"), 20'000, Start) == 20'000);
    limits.leave(0, address("192.0.2.1"));
}

TEST_CASE("no address has no limit", "[source_limits]") {
    SourceLimits limits = make({.sessions = 1, .connections_per_second = 1});

    CHECK(admitted(limits, SocketAddress(), 3, Start) == 3);
}

TEST_CASE("one second's worth may come at once, then one after another", "[source_limits]") {
    SourceLimits limits = make({.connections_per_second = 100});
    const SocketAddress source = address("192.0.2.1");

    CHECK(admitted(limits, source, 150, Start) == 100);
    CHECK(limits.admit(0, source, Start) == SourceVerdict::TooFast);
    CHECK(admitted(limits, source, 5, Start + 9ms) == 0);
    CHECK(admitted(limits, source, 5, Start + 10ms) == 1);
    CHECK(admitted(limits, source, 50, Start + 110ms) == 10);
    CHECK(admitted(limits, source, 500, Start + 1h) == 100);
}

TEST_CASE("rates that no second can be divided by are kept too", "[source_limits]") {
    const auto rate = GENERATE(size_t{1}, size_t{3}, size_t{7}, size_t{30'001});
    SourceLimits limits = make({.connections_per_second = rate});
    const SocketAddress source = address("192.0.2.1");

    CHECK(admitted(limits, source, rate + 2, Start) == rate);
    const size_t in_next_second = admitted(limits, source, rate + 2, Start + 1s);
    CHECK(in_next_second <= rate);
    CHECK(in_next_second + rate / 1000 + 1 >= rate);
}

TEST_CASE("who is refused for coming too fast has not come", "[source_limits]") {
    SourceLimits limits = make({.sessions = 10, .connections_per_second = 1});
    const SocketAddress source = address("192.0.2.1");

    CHECK(admitted(limits, source, 1000, Start) == 1);
    CHECK(limits.sessions_of(source) == 1);
    CHECK(admitted(limits, source, 1, Start + 1s) == 1);
}

TEST_CASE("a source never gets more than its limits, whoever shares its counters",
          "[source_limits]") {
    SourceLimits limits = make({.sessions = 50, .connections_per_second = 20});
    const SocketAddress source = address("192.0.2.1");
    // So many others that each counter is shared by three of them on average.
    for (uint32_t number = 1; number < 200'000; number++)
        limits.admit(1, numbered(number * 7919), Start + std::chrono::microseconds(number));

    size_t in_a_second = 0;
    for (int i = 0; i < 1000; i++)
        in_a_second += admitted(limits, source, 2, Start + 200ms + i * 1ms);
    CHECK(in_a_second > 0);
    CHECK(in_a_second <= 20 + 20);
    CHECK(limits.sessions_of(source) >= in_a_second);
    CHECK(in_a_second + admitted(limits, source, 1000, Start + 1h) <= 50);
}

TEST_CASE("few are hit by others who are at their limit", "[source_limits]") {
    SourceLimits limits = make({.sessions = 10});
    for (uint32_t number = 0; number < 100; number++)
        admitted(limits, numbered(0x7f000000 + number), 10, Start);
    size_t refused = 0;
    for (uint32_t number = 0; number < 100'000; number++)
        refused += 1 - admitted(limits, numbered(0x0a000000 + number), 1, Start, 1);

    CHECK(refused < 100);
}

TEST_CASE("the sessions of a worker that died are forgotten", "[source_limits]") {
    SourceLimits limits = make({.sessions = 5});
    const SocketAddress source = address("192.0.2.1");
    const pid_t worker = start_process([&] {
        admitted(limits, source, 3, Start, 2);
        raise(SIGKILL);
    });
    int status = 0;
    REQUIRE(waitpid(worker, &status, 0) == worker);
    REQUIRE(WIFSIGNALED(status));
    CHECK(admitted(limits, source, 5, Start, 0) == 2);

    limits.forget_worker(2);

    CHECK(limits.sessions_of(source) == 2);
    CHECK(admitted(limits, source, 5, Start, 2) == 3);
    limits.leave(0, source);
    limits.leave(0, source);
    CHECK(limits.sessions_of(source) == 3);
}

TEST_CASE("processes that come and go at once never have more than the limit", "[source_limits]") {
    SourceLimits limits = make({.sessions = 7});
    const SocketAddress source = address("192.0.2.1");
    Tally& tally = shared_tally();
    std::vector<pid_t> workers;
    for (size_t column = 0; column < 4; column++)
        workers.push_back(
            start_process([&, column] { come_and_go(limits, column, source, tally); }));
    for (const pid_t worker : workers)
        CHECK(ended_well(worker));

    CHECK(tally.in_most <= 7);
    CHECK(tally.in_most > 0);
    CHECK(limits.sessions_of(source) == 0);
    CHECK(admitted(limits, source, 10, Start) == 7);
}

TEST_CASE("processes that come at once together get what the rate allows", "[source_limits]") {
    SourceLimits limits = make({.connections_per_second = 1000});
    const SocketAddress source = address("192.0.2.1");
    Tally& tally = shared_tally();
    std::vector<pid_t> workers;
    for (size_t column = 0; column < 4; column++)
        workers.push_back(start_process([&, column] {
            tally.ready++;
            while (tally.ready < 4) {
            }
            tally.admitted += admitted(limits, source, 1000, Start, column);
        }));
    for (const pid_t worker : workers)
        CHECK(ended_well(worker));

    CHECK(tally.admitted == 1000);
}
