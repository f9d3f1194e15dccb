// SPDX-License-Identifier: MIT
//
// StatisticsWriter: counts what happens in a worker into its WorkerStatistics. Connections are
// counted as they begin and end; what backends know of themselves is copied, at most ten times a
// second and only when something has happened: an idle worker sleeps.
#pragma once

#include "base/daemon/event_loop.h"
#include "tcpshim/statistics.h"
#include "tcpshim/worker.h"

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace proxyd::shim {

class StatisticsWriter {
  public:
    // Borrows all of them; `sites` are the worker's.
    StatisticsWriter(EventLoop& loop, const Configuration& configuration,
                     WorkerStatistics& statistics);

    // From now on these are looked at.
    void follow(const std::vector<std::unique_ptr<Site>>& sites);
    void count_begin(const Site& site);
    void count_end(const ConnectionRecord& record);

  private:
    // A target of a service that has gone and come back is another backend with the same slot.
    struct Slot {
        BackendStatistics* memory = nullptr;
        uint64_t copied = 0;  // in which turn
    };
    struct Followed {
        Slot* slot = nullptr;       // nullptr: there is none left
        Backend::Counters counted;  // when it was copied last
        std::optional<BackendState> state;
        uint64_t copied = 0;  // in which turn
    };

    void on_before_wait() noexcept;
    void on_due() noexcept { is_due_ = true; }  // what follows is the wait
    void copy();
    Followed& followed_of(size_t site, const Backend& backend);
    bool copy_counters(Followed& followed, const Backend& backend);
    void copy_backend(size_t site, const Backend& backend, Clock::time_point now);
    void copy_retired(size_t site, const Backend& backend);
    void forget_gone();
    Slot* slot_of(size_t site, std::string_view text);

    const Configuration& configuration_;
    WorkerStatistics& statistics_;
    const std::vector<std::unique_ptr<Site>>* sites_ = nullptr;
    std::unordered_map<std::string_view, size_t> site_indices_;    // by name
    std::vector<std::map<std::string, Slot, std::less<>>> slots_;  // of each site
    std::unordered_map<uint64_t, Followed> followed_;              // by a backend's number
    uint64_t turn_ = 0;
    bool is_due_ = false;
    Clock::time_point copied_at_{};
    TimerWatcher<&StatisticsWriter::on_due> later_, pause_over_;
    BeforeWaitWatcher<&StatisticsWriter::on_before_wait> before_wait_;
};

}  // namespace proxyd::shim
