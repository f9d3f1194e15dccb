// SPDX-License-Identifier: MIT
//
// StatisticsWriter: counts what happens in a worker into its WorkerStatistics. Connections are
// counted as they begin and end; what backends know of themselves is copied, at most ten times a
// second and only when something has happened.
#pragma once

#include "base/daemon/event_loop.h"
#include "tcpshim/statistics.h"
#include "tcpshim/worker.h"

#include <array>
#include <cstdint>
#include <functional>
#include <map>
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
    struct Followed {
        BackendStatistics* slot = nullptr;
        Backend::Counters counted;  // when it was copied last
        BackendState state = BackendState::Up;
        bool is_new = true;
    };

    void on_before_wait() noexcept;
    void copy() noexcept;
    void on_later() noexcept {}  // what follows is another look before the wait
    void copy_backend(size_t site, const Backend& backend, Clock::time_point now);
    BackendStatistics* slot_of(size_t site, std::string_view text);

    const Configuration& configuration_;
    WorkerStatistics& statistics_;
    const std::vector<std::unique_ptr<Site>>* sites_ = nullptr;
    std::unordered_map<std::string_view, size_t> site_indices_;                  // by name
    std::vector<std::map<std::string, BackendStatistics*, std::less<>>> slots_;  // of each site
    std::unordered_map<uint64_t, Followed> followed_;  // by a backend's number
    Clock::time_point copied_at_{};
    TimerWatcher<&StatisticsWriter::on_later> later_;
    BeforeWaitWatcher<&StatisticsWriter::on_before_wait> before_wait_;
};

}  // namespace proxyd::shim
