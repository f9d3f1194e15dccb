// SPDX-License-Identifier: MIT
#include "proxyd/statistics_area.h"

#include "tests/support/fd_census.h"
#include "tests/unit/catch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

using namespace proxyd;

namespace {

struct Area {
    StatisticsArea area = *StatisticsArea::create();
};

// Runs `work` in a child; its exit status.
template <typename Work>
int in_child(Work work) {
    const pid_t child = fork();
    if (child == 0) _exit(work());
    int status = -1;
    waitpid(child, &status, 0);
    return status;
}

UniqueFd duplicate_of(BorrowedFd fd) {
    return UniqueFd::adopt(fcntl(fd.number(), F_DUPFD_CLOEXEC, 3));
}

}  // namespace

TEST_CASE_METHOD(Area, "statistics_area: what a child counts is seen", "[statistics_area]") {
    const size_t slot = *area.take_slot();
    const int status = in_child([&] {
        ProcessStatistics& mine = area.keep_only(slot);
        mine.accepted.add(2);
        mine.count_session(Verdict::HandedOver, "exact_name");
        mine.enter(SessionState::AwaitingHello);
        return 0;
    });
    CHECK(status == 0);

    const StatisticsSnapshot snapshot = area.snapshot();
    CHECK(snapshot.accepted == 2);
    CHECK(snapshot.sessions(Verdict::HandedOver) == 1);
    CHECK(snapshot.in_hand[static_cast<size_t>(SessionState::AwaitingHello)] == 1);
}

TEST_CASE_METHOD(Area, "statistics_area: a child can't reach the slots of others",
                 "[statistics_area]") {
    const size_t slot = *area.take_slot();
    const size_t neighbour = *area.take_slot();
    ProcessStatistics* const theirs = &area.slot(neighbour);
    const int status = in_child([&] {
        area.keep_only(slot);
        theirs->accepted.add(1);
        return 0;
    });
    CHECK(status != 0);  // by a signal, or by what a sanitizer makes of it
    CHECK(area.snapshot().accepted == 0);
}

TEST_CASE_METHOD(Area,
                 "statistics_area: counters of ended processes stay, what they had in hand "
                 "doesn't",
                 "[statistics_area]") {
    const size_t slot = *area.take_slot();
    area.slot(slot).accepted.add(2);
    area.slot(slot).enter(SessionState::AwaitingSite);
    area.slot(slot).count_session(Verdict::Rejected, "no_route");
    area.retire_slot(slot);

    CHECK(area.snapshot().accepted == 2);
    CHECK(area.snapshot().in_hand[1] == 0);
    CHECK(*area.take_slot() == slot);
    CHECK(area.snapshot().accepted == 2);
    area.slot(slot).count_session(Verdict::Rejected, "no_route");
    CHECK(area.snapshot().sessions(Verdict::Rejected) == 2);
}

TEST_CASE_METHOD(Area, "statistics_area: slots run out one after the other", "[statistics_area]") {
    for (size_t i = 0; i < StatisticsArea::SlotCount; i++)
        REQUIRE(area.take_slot() == i);
    CHECK(area.take_slot() == std::nullopt);
    area.retire_slot(7);
    CHECK(area.take_slot() == 7);
}

TEST_CASE_METHOD(Area, "statistics_area: outcomes of all are added up and sorted",
                 "[statistics_area]") {
    area.own().count_session(Verdict::Rejected, "no_route");
    area.own().count_session(Verdict::Closed, "client_reset");
    const size_t slot = *area.take_slot();
    area.slot(slot).count_session(Verdict::Rejected, "no_route");
    area.slot(slot).count_session(Verdict::HandedOver, "wildcard_name");
    area.slot(slot).count_session(Verdict::HandedOver, "exact_name");

    const auto outcomes = area.snapshot().outcomes;
    REQUIRE(outcomes.size() == 4);
    CHECK(outcomes[0].reason == "exact_name");
    CHECK(outcomes[1].reason == "wildcard_name");
    CHECK(outcomes[2].reason == "no_route");
    CHECK(outcomes[2].count == 2);
    CHECK(outcomes[3].reason == "client_reset");
}

TEST_CASE_METHOD(Area, "statistics_area: a slot full of garbage harms nobody",
                 "[statistics_area]") {
    const size_t slot = *area.take_slot();
    std::memset(static_cast<void*>(&area.slot(slot)), 0xff, sizeof(ProcessStatistics));
    area.own().count_session(Verdict::HandedOver, "exact_name");
    CHECK(area.snapshot().outcomes.size() >= 1);

    std::memset(static_cast<void*>(&area.slot(slot)), 0x01, sizeof(ProcessStatistics));
    for (const auto& outcome : area.snapshot().outcomes)
        CHECK(outcome.reason.find('\x01') == std::string::npos);
    area.retire_slot(slot);
}

TEST_CASE_METHOD(Area, "statistics_area: goes on after an upgrade", "[statistics_area]") {
    area.own().accepted.add(1);
    const size_t slot = *area.take_slot();
    area.slot(slot).accepted.add(2);
    const auto adopted = StatisticsArea::adopt(duplicate_of(area.memory()));
    REQUIRE(adopted);
    area.slot(slot).accepted.add(4);
    CHECK(adopted->snapshot().accepted == 7);
}

TEST_CASE_METHOD(Area, "statistics_area: adopts nothing of another layout", "[statistics_area]") {
    UniqueFd other = UniqueFd::adopt(memfd_create("test", MFD_CLOEXEC));
    const auto too_small = StatisticsArea::adopt(duplicate_of(other));
    REQUIRE_FALSE(too_small);
    CHECK(too_small.error() == Errno{EINVAL});

    const off_t size = lseek(area.memory().number(), 0, SEEK_END);
    REQUIRE(ftruncate(other.borrow().number(), size) == 0);
    const auto empty = StatisticsArea::adopt(duplicate_of(other));
    REQUIRE_FALSE(empty);
    CHECK(empty.error() == Errno{EINVAL});
}

TEST_CASE("statistics_area: leaves no descriptor, passes none on, and can't be shortened",
          "[statistics_area]") {
    const auto before = test::open_fds();
    {
        const auto area = StatisticsArea::create();
        REQUIRE(area);
        CHECK(test::is_close_on_exec(area->memory()));
        CHECK(ftruncate(area->memory().number(), 0) == -1);
        CHECK(errno == EPERM);
    }
    CHECK(test::open_fds() == before);
}
