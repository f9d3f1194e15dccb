// SPDX-License-Identifier: MIT
//
// The access log: one line per session, as docs/CONFIGURATION.md describes it. Lines are gathered
// and written once per round of the event loop, so that logging costs a fraction of a system call.
// Nothing in it ever blocks: lines that can't be written are lost, counted and told of.
//
// main opens it (open_access_log) and each worker writes to it (AccessLog): a worker may not open
// files. When it is to be reopened, main opens it anew and gives the descriptor to `replace`.
#pragma once

#include "base/posix/result.h"
#include "base/posix/unique_fd.h"
#include "proxyd/access_line.h"
#include "proxyd/configuration.h"
#include "proxyd/statistics.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace proxyd {

enum class AccessLogKind : uint8_t { Lines, Journal };

inline constexpr const char* JournalSocketPath = "/run/systemd/journal/socket";

// What the configuration asks for. Lines go to a file or a stream, whatever is there.
AccessLogKind access_log_kind(const Configuration& configuration);

// Standard error, a connection to the journal, or a file, which is appended to, and created if it
// may. What is opened once can be given to any number of workers.
Result<UniqueFd> open_access_log(const Configuration& configuration, bool may_create,
                                 const char* journal_socket_path = JournalSocketPath);

class AccessLog {
  public:
    // Who wants to see each session as it ends.
    class Follower {
      public:
        virtual void on_access_line(std::string_view json) = 0;  // with a newline at its end

      protected:
        ~Follower() = default;
    };

    AccessLog(UniqueFd file, AccessLogKind kind, AccessLogFormat format);

    // Where sessions and lost lines are counted; borrowed, and to be given before the first one.
    void count_in(ProcessStatistics& statistics) { statistics_ = &statistics; }
    // Borrowed; nullptr: nobody, which costs nothing.
    void follow(Follower* follower) { follower_ = follower; }

    void add(const AccessRecord& record);
    // Writes what has been gathered, as far as that doesn't block; the rest is kept, up to a limit,
    // and then lines are lost and counted.
    void flush();
    // Whether something is left after a flush: it should be tried again in a while.
    bool has_pending() const { return !pending_.empty(); }
    // Goes on in another file of the same kind. What has been gathered goes into the old one if
    // that doesn't block; a line is never torn between the two.
    void replace(UniqueFd file);

    uint64_t count(Verdict verdict) const { return counts_[static_cast<size_t>(verdict)]; }

  private:
    bool has_room();
    void count(const AccessRecord& record);
    void append(const AccessRecord& record);
    void flush_lines();
    bool end_torn_line();
    ssize_t write_some(std::string_view bytes);
    void flush_journal();
    void lose_lines(uint64_t lines);
    void on_trouble(int error);
    void on_all_written();

    UniqueFd file_;
    const AccessLogKind kind_;
    const AccessLogFormat format_;
    bool is_file_;
    bool begins_torn_ = false;   // the first pending line has been written in part
    bool file_is_torn_ = false;  // the last line in the file has no end, and never will
    bool has_told_of_trouble_ = false;
    std::string pending_;
    std::vector<size_t> entry_bytes_;    // of each pending journal entry
    std::string json_, time_, message_;  // kept for their memory
    uint64_t lines_lost_ = 0;            // not told of yet
    ProcessStatistics* statistics_ = nullptr;
    Follower* follower_ = nullptr;
    std::array<uint64_t, VerdictCount> counts_{};
};

}  // namespace proxyd
