// SPDX-License-Identifier: MIT
//
// StatisticsArea: the memory in which all processes of one proxyd keep their statistics. main makes
// it before it forks, gives a slot to each worker and takes it back when the worker has ended; a
// snapshot adds up all of them. main writes to a slot of its own.
//
// Counters never go down: what an ended worker has counted is kept in the totals, and at an upgrade
// the new binary adopts the memory (unless its layout is another one; then it counts from 0).
//
// main believes nothing that it reads here. A worker in a stranger's hands can falsify its own
// numbers, and after `keep_only` nobody else's.
#pragma once

#include "base/posix/result.h"
#include "base/posix/unique_fd.h"
#include "proxyd/statistics.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace proxyd {

// All processes together, as plain numbers.
struct StatisticsSnapshot {
    struct Outcome {
        Verdict verdict;
        std::string reason;  // of letters, digits and "_"
        uint64_t count;
    };

    uint64_t accepted = 0;
    std::array<uint64_t, SessionStateCount> in_hand{};
    std::array<uint64_t, AcceptPauseCount> accept_pauses{};
    uint64_t access_lines_lost = 0;
    std::array<uint64_t, LogLevelCount> log_lines{};
    std::array<Histogram, TimingCount> timings{};
    std::vector<Outcome> outcomes;  // by verdict, then by reason

    void add(const ProcessStatistics& process);
    uint64_t sessions(Verdict verdict) const;
};

class StatisticsArea {
  public:
    // Memory is used for slots that have been given out only: 20 KiB each. There are far
    // more of them than workers, since workers of old generations may take long to drain.
    static constexpr size_t SlotCount = 512;

    static Result<StatisticsArea> create();
    // What `memory` of the process that executed us was. An area that can't be used is an error
    // (EINVAL); take a new one then.
    static Result<StatisticsArea> adopt(UniqueFd memory);

    StatisticsArea(StatisticsArea&& other) noexcept;
    StatisticsArea& operator=(StatisticsArea&&) = delete;
    ~StatisticsArea();

    // To be passed on at an upgrade; close-on-exec is set.
    BorrowedFd memory() const { return memory_; }

    // Of main itself.
    ProcessStatistics& own();
    // A free slot, cleared; nothing if there is none.
    std::optional<size_t> take_slot();
    ProcessStatistics& slot(size_t index);
    // When its process has ended: its numbers go into the totals, and the slot is free.
    void retire_slot(size_t index);

    // In a worker, after fork: lets go of all but its own slot.
    ProcessStatistics& keep_only(size_t index);

    StatisticsSnapshot snapshot() const;

  private:
    struct Layout;
    StatisticsArea(UniqueFd memory, Layout* layout);
    static Result<StatisticsArea> map(UniqueFd memory, bool is_new);

    UniqueFd memory_;
    Layout* layout_;
};

}  // namespace proxyd
