// SPDX-License-Identifier: MIT
#include "base/daemon/restart_backoff.h"

#include "tests/unit/catch.h"

using namespace proxyd;
using namespace std::chrono_literals;

namespace {

constexpr Clock::duration AtOnce = Clock::duration::zero();

}  // namespace

TEST_CASE("restart_backoff: what worked for a while is replaced at once", "[restart_backoff]") {
    RestartBackoff backoff;
    CHECK(backoff.next(RestartBackoff::GoodLifetime) == AtOnce);
    CHECK(backoff.next(1h) == AtOnce);
}

TEST_CASE("restart_backoff: what ends right after its start comes ever less often",
          "[restart_backoff]") {
    RestartBackoff backoff;
    const Clock::duration lifetime(
        GENERATE(as<int64_t>{}, 0, Clock::duration(RestartBackoff::GoodLifetime).count() - 1));
    Clock::duration expected = RestartBackoff::DelayMin;
    for (int i = 0; i < 20; i++) {
        const Clock::duration delay = backoff.next(lifetime);
        CHECK(delay >= expected);
        CHECK(delay <= expected + expected / 5);
        expected = std::min<Clock::duration>(expected * 2, RestartBackoff::DelayMax);
    }
    CHECK(expected == RestartBackoff::DelayMax);
}

TEST_CASE("restart_backoff: begins anew after one that worked", "[restart_backoff]") {
    RestartBackoff backoff;
    for (int i = 0; i < 10; i++)
        (void)backoff.next(AtOnce);
    CHECK(backoff.next(RestartBackoff::GoodLifetime) == AtOnce);
    const Clock::duration delay = backoff.next(AtOnce);
    CHECK(delay >= RestartBackoff::DelayMin);
    CHECK(delay <= RestartBackoff::DelayMin * 6 / 5);
}

TEST_CASE("restart_backoff: several don't keep in step", "[restart_backoff]") {
    RestartBackoff one, other;
    bool differ = false;
    for (int i = 0; i < 20; i++)
        differ = differ || one.next(AtOnce) != other.next(AtOnce);
    CHECK(differ);
}
