// SPDX-License-Identifier: MIT
//
// Statistics of one process: counters and histograms in memory that main shares with its workers
// (statistics_area). The process that a slot belongs to alone writes to it, others read. A session
// costs a handful of relaxed stores: no lock, no system call, no allocation. What the numbers are
// called for people is in prometheus_text and docs/METRICS.md.
#pragma once

#include "base/daemon/log.h"
#include "base/daemon/metrics/shared_number.h"
#include "base/posix/result.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace proxyd {

enum class Verdict : uint8_t { HandedOver, Rejected, Closed, TimedOut };
inline constexpr size_t VerdictCount = 4;
// The word of the access log: "handed_over"...
std::string_view verdict_word(Verdict verdict);

// Where a session in hand is.
enum class SessionState : uint8_t { AwaitingProxyHeader, AwaitingHello, AwaitingSite, Refusing };
inline constexpr size_t SessionStateCount = 4;
std::string_view session_state_word(SessionState state);  // "awaiting_hello"...

// Why no clients were accepted for a while.
enum class AcceptPause : uint8_t { NoRoom, ProcessDescriptors, SystemDescriptors, Memory };
inline constexpr size_t AcceptPauseCount = 4;
std::string_view accept_pause_word(AcceptPause cause);  // "no_room"...
AcceptPause accept_pause_of(Errno why);                 // of a failed accept(2)

enum class Timing : uint8_t {
    Hello,     // from accept to the complete hello
    Handoff,   // from the complete hello to the handoff
    SiteWait,  // from the complete hello to the end of a wait for a site, however it ended
};
inline constexpr size_t TimingCount = 3;

// Sessions that ended with one verdict and reason.
class SharedOutcome {
  public:
    static constexpr size_t ReasonBytesMax = 53;
    struct Copy {
        Verdict verdict;
        std::array<char, ReasonBytesMax> reason;
        size_t reason_bytes;
        uint64_t count;

        std::string_view reason_text() const { return {reason.data(), reason_bytes}; }
    };

    // For the writer. `reason` is no longer than ReasonBytesMax.
    bool is_used() const { return is_used_.load(std::memory_order_relaxed) != 0; }
    bool is(Verdict verdict, std::string_view reason) const;
    void begin(Verdict verdict, std::string_view reason);
    void add(uint64_t sessions) { count_.add(sessions); }
    void clear();
    // For readers, who need not trust the writer: all in it is in range, but the reason any bytes.
    std::optional<Copy> read() const;

  private:
    SharedNumber count_;
    std::atomic<uint8_t> is_used_;  // set last: what is below doesn't change any more then
    std::atomic<uint8_t> verdict_;
    std::atomic<uint8_t> reason_bytes_;
    std::array<char, ReasonBytesMax> reason_;
};
static_assert(sizeof(SharedOutcome) == 64, "one cache line");

// Plain data; all zero at first. The members are for statistics_area to read.
struct ProcessStatistics {
    static constexpr size_t OutcomesMax = 256;  // docs/CONFIGURATION.md lists fewer than a hundred

    SharedNumber accepted;
    std::array<SharedNumber, SessionStateCount> in_hand;
    std::array<SharedNumber, AcceptPauseCount> accept_pauses;
    SharedNumber access_lines_lost;
    std::array<SharedNumber, LogLevelCount> log_lines;
    std::array<SharedHistogram, TimingCount> timings;
    std::array<SharedNumber, VerdictCount> other_outcomes;  // whose reason found no room
    std::array<SharedOutcome, OutcomesMax> outcomes;

    // Any text may be a reason, and needs no registration. When there are more of them than the
    // table takes, further ones are counted as "other"; of a very long one the beginning is kept.
    void count_session(Verdict verdict, std::string_view reason, uint64_t sessions = 1);
    void enter(SessionState state) { in_hand[static_cast<size_t>(state)].add(1); }
    void leave(SessionState state) { in_hand[static_cast<size_t>(state)].subtract(1); }
    void count_accept_pause(AcceptPause cause) { accept_pauses[static_cast<size_t>(cause)].add(1); }
    void add_timing(Timing kind, int64_t microseconds) {
        timings[static_cast<size_t>(kind)].add(
            microseconds < 0 ? 0 : static_cast<uint64_t>(microseconds));
    }
    void count_log_lines(const LogLineCounts& by_level);

    // Adds what `ended` has counted, but not what it had in hand.
    void add_counters_of(const ProcessStatistics& ended);
    void clear();
};

}  // namespace proxyd
