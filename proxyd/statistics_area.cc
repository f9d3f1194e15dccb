// SPDX-License-Identifier: MIT
#include "proxyd/statistics_area.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cassert>
#include <utility>

namespace proxyd {
namespace {

// Slots are apart by whole pages, so that a worker can let go of those of others.
constexpr size_t PageBytes = 4096;
// To be changed whenever ProcessStatistics gets another layout of the same size.
constexpr uint64_t LayoutVersion = 1;
constexpr uint64_t Magic = 0x70726f7879640000U | LayoutVersion;

template <size_t Size>
void add_each(std::array<uint64_t, Size>& sums, const std::array<SharedNumber, Size>& numbers) {
    for (size_t i = 0; i < Size; i++)
        sums[i] += numbers[i].read();
}

bool is_word_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// The texts of workers go no further before they are harmless.
std::string word_of(std::string_view reason) {
    std::string word(reason);
    std::replace_if(
        word.begin(), word.end(), [](char c) { return !is_word_character(c); }, '_');
    return word;
}

}  // namespace

struct StatisticsArea::Layout {
    struct alignas(PageBytes) Head {
        uint64_t magic;
        uint64_t bytes;
        std::array<uint8_t, SlotCount> is_taken;
    };
    struct alignas(PageBytes) Slot {
        ProcessStatistics statistics;
    };
    static_assert(sizeof(Slot) == 5 * PageBytes, "the figure in the header");

    Head head;
    Slot ended;  // totals of processes that have ended
    Slot own;    // of main
    std::array<Slot, SlotCount> slots;
};

StatisticsArea::StatisticsArea(UniqueFd memory, Layout* layout)
    : memory_(std::move(memory)), layout_(layout) {}

StatisticsArea::StatisticsArea(StatisticsArea&& other) noexcept
    : memory_(std::move(other.memory_)), layout_(std::exchange(other.layout_, nullptr)) {}

// Unmapping what keep_only has unmapped already is no error (munmap(2)).
StatisticsArea::~StatisticsArea() {
    if (layout_ != nullptr) munmap(layout_, sizeof(Layout));
}

Result<StatisticsArea> StatisticsArea::create() {
    UniqueFd memory =
        UniqueFd::adopt(memfd_create("proxyd-statistics", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    // Sealed: a worker that shortened it would kill whoever reads it (SIGBUS).
    if (!memory.is_open() || ftruncate(memory.borrow().number(), sizeof(Layout)) != 0 ||
        fcntl(memory.borrow().number(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) !=
            0)
        return Unexpected{Errno::last()};
    return map(std::move(memory), true);
}

Result<StatisticsArea> StatisticsArea::adopt(UniqueFd memory) {
    struct stat status;
    if (fstat(memory.borrow().number(), &status) != 0) return Unexpected{Errno::last()};
    if (static_cast<uint64_t>(status.st_size) != sizeof(Layout)) return Unexpected{Errno{EINVAL}};
    return map(std::move(memory), false);
}

Result<StatisticsArea> StatisticsArea::map(UniqueFd memory, bool is_new) {
    void* const address = mmap(nullptr, sizeof(Layout), PROT_READ | PROT_WRITE, MAP_SHARED,
                               memory.borrow().number(), 0);
    if (address == MAP_FAILED) return Unexpected{Errno::last()};
    // Zeroed memory is what every member begins with.
    StatisticsArea area(std::move(memory), static_cast<Layout*>(address));
    Layout::Head& head = area.layout_->head;
    if (is_new) {
        head.magic = Magic;
        head.bytes = sizeof(Layout);
    } else if (head.magic != Magic || head.bytes != sizeof(Layout)) {
        return Unexpected{Errno{EINVAL}};
    }
    return area;
}

ProcessStatistics& StatisticsArea::own() {
    return layout_->own.statistics;
}

std::optional<size_t> StatisticsArea::take_slot() {
    auto& is_taken = layout_->head.is_taken;
    const auto found = std::find(is_taken.begin(), is_taken.end(), 0);
    if (found == is_taken.end()) return std::nullopt;
    *found = 1;
    return static_cast<size_t>(found - is_taken.begin());
}

ProcessStatistics& StatisticsArea::slot(size_t index) {
    assert(index < SlotCount && layout_->head.is_taken[index] != 0);
    return layout_->slots[index].statistics;
}

void StatisticsArea::retire_slot(size_t index) {
    ProcessStatistics& ended = slot(index);
    layout_->ended.statistics.add_counters_of(ended);
    ended.clear();
    layout_->head.is_taken[index] = 0;
}

ProcessStatistics& StatisticsArea::keep_only(size_t index) {
    ProcessStatistics& mine = slot(index);
    auto* const begin = reinterpret_cast<std::byte*>(layout_);
    auto* const kept = reinterpret_cast<std::byte*>(&layout_->slots[index]);
    auto* const end = begin + sizeof(Layout);
    munmap(begin, static_cast<size_t>(kept - begin));
    auto* const after = kept + sizeof(Layout::Slot);
    if (after != end) munmap(after, static_cast<size_t>(end - after));
    memory_.close();
    layout_ = nullptr;  // what is left stays mapped as long as the process lives
    return mine;
}

StatisticsSnapshot StatisticsArea::snapshot() const {
    StatisticsSnapshot sum;
    sum.add(layout_->ended.statistics);
    sum.add(layout_->own.statistics);
    for (size_t i = 0; i < SlotCount; i++)
        if (layout_->head.is_taken[i] != 0) sum.add(layout_->slots[i].statistics);
    std::sort(sum.outcomes.begin(), sum.outcomes.end(), [](const auto& a, const auto& b) {
        return a.verdict != b.verdict ? a.verdict < b.verdict : a.reason < b.reason;
    });
    return sum;
}

void StatisticsSnapshot::add(const ProcessStatistics& process) {
    accepted += process.accepted.read();
    add_each(in_hand, process.in_hand);
    add_each(accept_pauses, process.accept_pauses);
    access_lines_lost += process.access_lines_lost.read();
    add_each(log_lines, process.log_lines);
    for (size_t i = 0; i < TimingCount; i++)
        timings[i].add(process.timings[i]);
    const auto add_outcome = [this](Verdict verdict, std::string reason, uint64_t count) {
        if (count == 0) return;
        for (Outcome& outcome : outcomes) {
            if (outcome.verdict != verdict || outcome.reason != reason) continue;
            outcome.count += count;
            return;
        }
        outcomes.push_back({verdict, std::move(reason), count});
    };
    for (const SharedOutcome& shared : process.outcomes)
        if (const auto outcome = shared.read())
            add_outcome(outcome->verdict, word_of(outcome->reason_text()), outcome->count);
    for (size_t i = 0; i < VerdictCount; i++)
        add_outcome(static_cast<Verdict>(i), "other", process.other_outcomes[i].read());
}

uint64_t StatisticsSnapshot::sessions(Verdict verdict) const {
    uint64_t sum = 0;
    for (const Outcome& outcome : outcomes)
        if (outcome.verdict == verdict) sum += outcome.count;
    return sum;
}

}  // namespace proxyd
