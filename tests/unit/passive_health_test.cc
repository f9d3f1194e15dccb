// SPDX-License-Identifier: MIT
#include "tcpshim/passive_health.h"

#include "tests/unit/catch.h"

using namespace proxyd;
using namespace proxyd::shim;
using namespace std::chrono_literals;

namespace {

constexpr Clock::time_point Start{1h};

PassiveHealth health() {
    return PassiveHealth({.failures_max = 3, .pause = 1s, .pause_max = 60s});
}

void fail(PassiveHealth& health, Clock::time_point now, int times = 1) {
    for (int i = 0; i < times; i++)
        health.note_failed(now, now);
}

}  // namespace

TEST_CASE("passive health: failures in a row leave a backend out", "[passive_health]") {
    PassiveHealth backend = health();
    CHECK_FALSE(backend.note_failed(Start, Start));
    CHECK_FALSE(backend.note_failed(Start, Start));
    CHECK_FALSE(backend.is_paused(Start));
    CHECK_FALSE(backend.is_on_trial());
    CHECK(backend.note_failed(Start, Start));
    CHECK(backend.is_paused(Start));
    CHECK(backend.is_on_trial());
    CHECK(backend.is_paused(Start + 999ms));
    CHECK_FALSE(backend.is_paused(Start + 1'201ms));
}

TEST_CASE("passive health: a connection between failures ends the row", "[passive_health]") {
    PassiveHealth backend = health();
    fail(backend, Start, 2);
    CHECK_FALSE(backend.note_connected());
    fail(backend, Start, 2);
    CHECK_FALSE(backend.is_paused(Start));
}

TEST_CASE("passive health: the pause doubles with each trial that fails, up to a limit",
          "[passive_health]") {
    PassiveHealth backend = health();
    fail(backend, Start, 3);
    Clock::time_point now = Start;
    for (Clock::duration expected = 1s; expected < 120s; expected *= 2) {
        const Clock::duration pause = backend.pause_until() - now;
        CHECK(pause >= std::min<Clock::duration>(expected, 60s));
        CHECK(pause <= std::min<Clock::duration>(expected, 60s) * 6 / 5);
        now = backend.pause_until();
        fail(backend, now);
    }
}

TEST_CASE("passive health: attempts that were under way make the pause no longer",
          "[passive_health]") {
    PassiveHealth backend = health();
    fail(backend, Start, 3);
    const Clock::time_point until = backend.pause_until();
    CHECK_FALSE(backend.note_failed(Start - 1ms, Start + 500ms));
    CHECK(backend.pause_until() == until);
    CHECK(backend.note_failed(Start + 500ms, Start + 500ms));
}

TEST_CASE("passive health: one client in each pause's time tries it, until one is connected",
          "[passive_health]") {
    PassiveHealth backend = health();
    fail(backend, Start, 3);
    const Clock::time_point now = Start + 2s;
    CHECK_FALSE(backend.is_paused(now));
    backend.note_chosen(now);
    CHECK(backend.is_paused(now + 999ms));
    CHECK_FALSE(backend.is_paused(now + 1s));
    CHECK(backend.note_connected());
    CHECK_FALSE(backend.is_paused(now));
    CHECK_FALSE(backend.is_on_trial());
    backend.note_chosen(now);
    CHECK_FALSE(backend.is_paused(now));
}

TEST_CASE("passive health: a pause that is ended leaves it on trial", "[passive_health]") {
    PassiveHealth backend = health();
    fail(backend, Start, 3);
    backend.end_pause();
    CHECK_FALSE(backend.is_paused(Start));
    CHECK(backend.is_on_trial());
}

TEST_CASE("passive health: with no limit of failures nothing is left out", "[passive_health]") {
    PassiveHealth backend({.failures_max = 0, .pause = 1s, .pause_max = 60s});
    fail(backend, Start, 100);
    CHECK_FALSE(backend.is_paused(Start));
    CHECK_FALSE(backend.is_on_trial());
}
