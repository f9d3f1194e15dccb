// SPDX-License-Identifier: MIT
#include "proxyd/statistics.h"

#include <errno.h>

#include <algorithm>

namespace proxyd {
namespace {

// FNV-1a: reasons are short words.
size_t hash_of(Verdict verdict, std::string_view reason) {
    uint64_t hash = 0xcbf29ce484222325U ^ static_cast<uint64_t>(verdict);
    for (const char c : reason)
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    return hash ^ (hash >> 32);
}

template <size_t Size>
void add_each(std::array<SharedNumber, Size>& numbers,
              const std::array<SharedNumber, Size>& others) {
    for (size_t i = 0; i < Size; i++)
        numbers[i].add(others[i].read());
}

template <size_t Size>
void clear_each(std::array<SharedNumber, Size>& numbers) {
    for (SharedNumber& number : numbers)
        number.clear();
}

}  // namespace

std::string_view verdict_word(Verdict verdict) {
    switch (verdict) {
        case Verdict::HandedOver:
            return "handed_over";
        case Verdict::Rejected:
            return "rejected";
        case Verdict::Closed:
            return "closed";
        case Verdict::TimedOut:
            return "timed_out";
    }
    return "?";
}

std::string_view session_state_word(SessionState state) {
    switch (state) {
        case SessionState::AwaitingProxyHeader:
            return "awaiting_proxy_header";
        case SessionState::AwaitingHello:
            return "awaiting_hello";
        case SessionState::AwaitingSite:
            return "awaiting_site";
        case SessionState::Refusing:
            return "refusing";
    }
    return "?";
}

std::string_view accept_pause_word(AcceptPause cause) {
    switch (cause) {
        case AcceptPause::NoRoom:
            return "no_room";
        case AcceptPause::ProcessDescriptors:
            return "process_descriptors";
        case AcceptPause::SystemDescriptors:
            return "system_descriptors";
        case AcceptPause::Memory:
            return "memory";
    }
    return "?";
}

AcceptPause accept_pause_of(Errno why) {
    if (why.number == EMFILE) return AcceptPause::ProcessDescriptors;
    return why.number == ENFILE ? AcceptPause::SystemDescriptors : AcceptPause::Memory;
}

bool SharedOutcome::is(Verdict verdict, std::string_view reason) const {
    return verdict_.load(std::memory_order_relaxed) == static_cast<uint8_t>(verdict) &&
           std::string_view(reason_.data(), reason_bytes_.load(std::memory_order_relaxed)) ==
               reason;
}

void SharedOutcome::begin(Verdict verdict, std::string_view reason) {
    verdict_.store(static_cast<uint8_t>(verdict), std::memory_order_relaxed);
    reason_bytes_.store(static_cast<uint8_t>(reason.size()), std::memory_order_relaxed);
    std::copy(reason.begin(), reason.end(), reason_.begin());
    is_used_.store(1, std::memory_order_release);
}

void SharedOutcome::clear() {
    count_.clear();
    is_used_.store(0, std::memory_order_relaxed);
}

std::optional<SharedOutcome::Copy> SharedOutcome::read() const {
    if (is_used_.load(std::memory_order_acquire) == 0) return std::nullopt;
    const uint8_t verdict = verdict_.load(std::memory_order_relaxed);
    const uint8_t reason_bytes = reason_bytes_.load(std::memory_order_relaxed);
    if (verdict >= VerdictCount || reason_bytes > ReasonBytesMax) return std::nullopt;
    return Copy{static_cast<Verdict>(verdict), reason_, reason_bytes, count_.read()};
}

void ProcessStatistics::count_session(Verdict verdict, std::string_view reason, uint64_t sessions) {
    reason = reason.substr(0, SharedOutcome::ReasonBytesMax);
    const size_t first = hash_of(verdict, reason);
    for (size_t i = 0; i < OutcomesMax; i++) {
        SharedOutcome& outcome = outcomes[(first + i) % OutcomesMax];
        if (!outcome.is_used()) outcome.begin(verdict, reason);
        if (outcome.is(verdict, reason)) return outcome.add(sessions);
    }
    other_outcomes[static_cast<size_t>(verdict)].add(sessions);
}

void ProcessStatistics::count_log_lines(const LogLineCounts& by_level) {
    for (size_t i = 0; i < LogLevelCount; i++)
        if (by_level[i] != 0) log_lines[i].add(by_level[i]);
}

void ProcessStatistics::add_counters_of(const ProcessStatistics& ended) {
    accepted.add(ended.accepted.read());
    add_each(accept_pauses, ended.accept_pauses);
    access_lines_lost.add(ended.access_lines_lost.read());
    add_each(log_lines, ended.log_lines);
    for (size_t i = 0; i < TimingCount; i++)
        timings[i].add(ended.timings[i]);
    add_each(other_outcomes, ended.other_outcomes);
    for (const SharedOutcome& shared : ended.outcomes)
        if (const auto outcome = shared.read())
            count_session(outcome->verdict, outcome->reason_text(), outcome->count);
}

void ProcessStatistics::clear() {
    accepted.clear();
    clear_each(in_hand);
    clear_each(accept_pauses);
    access_lines_lost.clear();
    clear_each(log_lines);
    for (SharedHistogram& timing : timings)
        timing.clear();
    clear_each(other_outcomes);
    for (SharedOutcome& outcome : outcomes)
        outcome.clear();
}

}  // namespace proxyd
