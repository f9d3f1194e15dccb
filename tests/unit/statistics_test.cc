// SPDX-License-Identifier: MIT
#include "proxyd/statistics.h"

#include "tests/unit/catch.h"

#include <errno.h>
#include <fmt/format.h>

#include <memory>
#include <string>

using namespace proxyd;

namespace {

uint64_t count_of(const ProcessStatistics& statistics, Verdict verdict, std::string_view reason) {
    for (const SharedOutcome& shared : statistics.outcomes)
        if (const auto outcome = shared.read();
            outcome && outcome->verdict == verdict && outcome->reason_text() == reason)
            return outcome->count;
    return 0;
}

struct Fixture {
    std::unique_ptr<ProcessStatistics> owned = std::make_unique<ProcessStatistics>();
    ProcessStatistics& statistics = *owned;
};

}  // namespace

TEST_CASE_METHOD(Fixture, "statistics: a verdict and a reason have a number of their own",
                 "[statistics]") {
    statistics.count_session(Verdict::Rejected, "site_absent");
    statistics.count_session(Verdict::Rejected, "site_absent");
    statistics.count_session(Verdict::TimedOut, "site_absent");
    statistics.count_session(Verdict::Rejected, "site");
    statistics.count_session(Verdict::Rejected, "");

    CHECK(count_of(statistics, Verdict::Rejected, "site_absent") == 2);
    CHECK(count_of(statistics, Verdict::TimedOut, "site_absent") == 1);
    CHECK(count_of(statistics, Verdict::Rejected, "site") == 1);
    CHECK(count_of(statistics, Verdict::Rejected, "") == 1);
    CHECK(count_of(statistics, Verdict::HandedOver, "site") == 0);
}

TEST_CASE_METHOD(Fixture, "statistics: every reason that finds room has it, and none is lost",
                 "[statistics]") {
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < ProcessStatistics::OutcomesMax; i++)
            statistics.count_session(Verdict::Rejected, fmt::format("reason_{}", i));
    for (size_t i = 0; i < ProcessStatistics::OutcomesMax; i++)
        CHECK(count_of(statistics, Verdict::Rejected, fmt::format("reason_{}", i)) == 2);

    statistics.count_session(Verdict::Closed, "one_more");
    CHECK(count_of(statistics, Verdict::Closed, "one_more") == 0);
    CHECK(statistics.other_outcomes[static_cast<size_t>(Verdict::Closed)].read() == 1);
}

TEST_CASE_METHOD(Fixture, "statistics: a reason that is too long is counted by its beginning",
                 "[statistics]") {
    const std::string most(SharedOutcome::ReasonBytesMax, 'x');
    statistics.count_session(Verdict::Rejected, most);
    statistics.count_session(Verdict::Rejected, most + "y");
    CHECK(count_of(statistics, Verdict::Rejected, most) == 2);
}

TEST_CASE_METHOD(Fixture, "statistics: a time that went backwards counts as none", "[statistics]") {
    const SharedHistogram& histogram = statistics.timings[static_cast<size_t>(Timing::Hello)];
    statistics.add_timing(Timing::Hello, -1);
    statistics.add_timing(Timing::Hello, 3);

    CHECK(histogram.counts[0].read() == 2);
    CHECK(histogram.sum_us.read() == 3);
}

TEST_CASE_METHOD(Fixture, "statistics: sessions in hand go up and down", "[statistics]") {
    statistics.enter(SessionState::AwaitingSite);
    statistics.enter(SessionState::AwaitingSite);
    statistics.leave(SessionState::AwaitingSite);
    CHECK(statistics.in_hand[static_cast<size_t>(SessionState::AwaitingSite)].read() == 1);
}

TEST_CASE_METHOD(Fixture, "statistics: what an ended process has counted is added",
                 "[statistics]") {
    Fixture ended;
    for (Fixture* fixture : {static_cast<Fixture*>(this), &ended}) {
        ProcessStatistics& each = fixture->statistics;
        each.accepted.add(3);
        each.enter(SessionState::Refusing);
        each.count_accept_pause(AcceptPause::Memory);
        each.access_lines_lost.add(5);
        each.count_log_lines({1, 2, 3, 4, 5});
        each.count_session(Verdict::Closed, "client_reset", 7);
        each.add_timing(Timing::SiteWait, 60);
    }
    statistics.add_counters_of(ended.statistics);

    CHECK(statistics.accepted.read() == 6);
    CHECK(statistics.in_hand[static_cast<size_t>(SessionState::Refusing)].read() == 1);
    CHECK(statistics.accept_pauses[static_cast<size_t>(AcceptPause::Memory)].read() == 2);
    CHECK(statistics.access_lines_lost.read() == 10);
    CHECK(statistics.log_lines[4].read() == 10);
    CHECK(count_of(statistics, Verdict::Closed, "client_reset") == 14);
    CHECK(statistics.timings[static_cast<size_t>(Timing::SiteWait)].counts[1].read() == 2);
    CHECK(statistics.timings[static_cast<size_t>(Timing::SiteWait)].sum_us.read() == 120);
}

TEST_CASE_METHOD(Fixture, "statistics: cleared, it is as new", "[statistics]") {
    statistics.accepted.add(3);
    statistics.enter(SessionState::Refusing);
    statistics.count_session(Verdict::Closed, "client_reset");
    statistics.add_timing(Timing::SiteWait, 60);
    statistics.clear();

    Fixture sum;
    sum.statistics.add_counters_of(statistics);
    CHECK(sum.statistics.accepted.read() == 0);
    CHECK(statistics.in_hand[static_cast<size_t>(SessionState::Refusing)].read() == 0);
    CHECK(count_of(statistics, Verdict::Closed, "client_reset") == 0);
    CHECK(sum.statistics.timings[static_cast<size_t>(Timing::SiteWait)].sum_us.read() == 0);
}

TEST_CASE("statistics: why accepting pauses", "[statistics]") {
    CHECK(accept_pause_word(accept_pause_of(Errno{EMFILE})) == "process_descriptors");
    CHECK(accept_pause_word(accept_pause_of(Errno{ENFILE})) == "system_descriptors");
    CHECK(accept_pause_word(accept_pause_of(Errno{ENOBUFS})) == "memory");
    CHECK(accept_pause_word(accept_pause_of(Errno{ENOMEM})) == "memory");
    CHECK(accept_pause_word(AcceptPause::NoRoom) == "no_room");
}
