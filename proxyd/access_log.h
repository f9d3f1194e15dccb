// SPDX-License-Identifier: MIT
//
// AccessLog: one line per session, as docs/CONFIGURATION.md describes it, and the counting of what
// it says. main opens the file (line_log.h) and each worker writes to it: a worker may not open
// files. Writing is line_log's, the forms of a line are access_line's.
#pragma once

#include "base/daemon/configuration/daemon_configuration.h"
#include "base/daemon/line_log.h"
#include "proxyd/access_line.h"
#include "proxyd/statistics.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace proxyd {

class AccessLog {
  public:
    // Who wants to see each session as it ends.
    class Follower {
      public:
        virtual void on_access_line(std::string_view json) = 0;  // with a newline at its end

      protected:
        ~Follower() = default;
    };

    AccessLog(UniqueFd file, LineLogKind kind, AccessLogFormat format);

    // Where sessions and lost lines are counted; borrowed, and to be given before the first one.
    void count_in(ProcessStatistics& statistics);
    // Borrowed; nullptr: nobody, which costs nothing.
    void follow(Follower* follower) { follower_ = follower; }

    void add(const AccessRecord& record);
    uint64_t count(Verdict verdict) const { return counts_[static_cast<size_t>(verdict)]; }

    // As LineLog has them.
    void flush() { lines_.flush(); }
    bool has_pending() const { return lines_.has_pending(); }
    void replace(UniqueFd file) { lines_.replace(std::move(file)); }

  private:
    void count(const AccessRecord& record);
    void append(std::string& out, const AccessRecord& record);

    LineLog lines_;
    const AccessLogFormat format_;
    std::string json_, time_, message_;  // kept for their memory
    ProcessStatistics* statistics_ = nullptr;
    Follower* follower_ = nullptr;
    std::array<uint64_t, VerdictCount> counts_{};
};

}  // namespace proxyd
