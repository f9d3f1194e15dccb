// SPDX-License-Identifier: MIT
//
// What a worker counts: numbers in memory that it shares with main, one block for each worker, made
// by main before it forks. So main can tell them at any time without asking, and what a worker has
// counted outlives its end, however it came. Written by statistics_writer, read by
// statistics_totals, which believes nothing that it finds there.
#pragma once

#include "base/daemon/metrics/shared_number.h"
#include "base/posix/result.h"
#include "base/relay/configuration.h"
#include "tcpshim/backend.h"
#include "tcpshim/connection_record.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace proxyd::shim {

enum class Timing : uint8_t {
    Connect,    // from the handoff to the backend's connection
    FirstByte,  // from the handoff to the backend's first byte
    Total,      // from the handoff to the end
};
inline constexpr size_t TimingCount = 3;

// A text that one process writes and others read at any time; they may find it half written.
template <size_t BytesMax>
class SharedText {
  public:
    void write(std::string_view text) {
        const size_t size = text.size() < BytesMax ? text.size() : BytesMax;
        for (size_t i = 0; i < size; i++)
            bytes_[i].store(text[i], std::memory_order_relaxed);
        size_.store(static_cast<uint16_t>(size), std::memory_order_release);
    }
    std::string read() const {
        size_t size = size_.load(std::memory_order_acquire);
        if (size > BytesMax) size = BytesMax;
        std::string text(size, '\0');
        for (size_t i = 0; i < size; i++)
            text[i] = bytes_[i].load(std::memory_order_relaxed);
        return text;
    }

  private:
    std::atomic<uint16_t> size_;
    std::array<std::atomic<char>, BytesMax> bytes_;
};

struct BackendStatistics {
    static constexpr size_t TextBytesMax = 256;
    static constexpr size_t CauseBytesMax = 62;
    // As `state`: clients aren't sent there any more. The slot stays, for what it has counted.
    static constexpr uint64_t Gone = 255;

    SharedText<TextBytesMax> text;  // "" if the slot is free
    SharedNumber connections;       // that it was connected for
    SharedNumber active;
    SharedNumber chosen, answered, checks_good, checks_bad;
    std::array<SharedNumber, ConnectFailureCount> failed;
    SharedNumber bytes_to_backend, bytes_to_client;
    SharedNumber state;     // a BackendState, or Gone
    SharedNumber since_ms;  // when it became so, since 1970
    SharedText<CauseBytesMax> cause;
};

struct SiteStatistics {
    SharedNumber accepted;
    SharedNumber active;
    SharedNumber retried;  // backends tried beyond the first one
    std::array<SharedNumber, EndingCount> endings;
    std::array<SharedNumber, ConnectFailureCount> unserved;  // of those that ended as NoBackend
    SharedNumber bytes_to_backend, bytes_to_client;
    std::array<SharedHistogram, TimingCount> timings;
};

// The block of one worker. It holds all slots that a configuration needs: for each backend that it
// names one, and some more for all targets that services ever have while the worker lives.
class WorkerStatistics {
  public:
    static constexpr size_t SlotsForServices = 256;

    static Result<std::unique_ptr<WorkerStatistics>> create(const Configuration& configuration);
    ~WorkerStatistics();
    WorkerStatistics(const WorkerStatistics&) = delete;
    WorkerStatistics& operator=(const WorkerStatistics&) = delete;

    SharedNumber& access_lines_lost() const { return *access_lines_lost_; }
    size_t site_count() const { return sites_.size(); }
    SiteStatistics& site(size_t index) const { return sites_[index]; }
    // No connection is there any more.
    void clear_active() const;
    std::span<BackendStatistics> backends_of(size_t site) const { return slots_[site]; }

  private:
    WorkerStatistics() = default;

    void* memory_ = nullptr;
    size_t bytes_ = 0;
    SharedNumber* access_lines_lost_ = nullptr;
    std::span<SiteStatistics> sites_;
    std::vector<std::span<BackendStatistics>> slots_;  // of each site
};

}  // namespace proxyd::shim
