// SPDX-License-Identifier: MIT
//
// LineLog: where the lines of an access log go, a file, a stream or the systemd journal. Lines are
// gathered and written once per round of the event loop, so that logging costs a fraction of a
// system call. Nothing in it ever blocks: lines that can't be written are lost, counted and told of
// in the error log (here, not by the caller: only the log itself knows when trouble has begun and
// when it is over). What a line says is the daemon's affair. Used by the access logs.
//
// Whoever may open files opens it (open_line_log), and whoever may not writes to it. When it is to
// be reopened, it is opened anew, and the descriptor given to `replace`.
#pragma once

#include "base/daemon/metrics/shared_number.h"
#include "base/posix/result.h"
#include "base/posix/unique_fd.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace proxyd {

enum class LineLogKind : uint8_t { Lines, Journal };

inline constexpr const char* JournalSocketPath = "/run/systemd/journal/socket";

// `target` is what the configuration says: "stderr", "journal" or a path. Lines go to a file or a
// stream, whatever is there.
LineLogKind line_log_kind(std::string_view target);

// Standard error, a connection to the journal, or a file, which is appended to, and created if it
// may. What is opened once can be given to any number of processes.
Result<UniqueFd> open_line_log(const std::string& target, bool may_create,
                               const char* journal_socket_path = JournalSocketPath);

class LineLog {
  public:
    LineLog(UniqueFd file, LineLogKind kind);

    // Where lost lines are counted; borrowed, and to be given before the first line.
    void count_losses_in(SharedNumber& lost) { lost_ = &lost; }

    LineLogKind kind() const { return kind_; }

    // `append(std::string& out)` appends one line with its newline, or one entry in the journal's
    // native protocol. It isn't called if there is no room; the line is lost then.
    template <typename Append>
    void add(Append&& append) {
        if (!has_room()) return lose_lines(1);
        const size_t bytes_before = pending_.size();
        append(pending_);
        if (kind_ == LineLogKind::Journal) entry_bytes_.push_back(pending_.size() - bytes_before);
    }

    // Writes what has been gathered, as far as that doesn't block; the rest is kept, up to a limit,
    // and then lines are lost and counted.
    void flush();
    // Whether something is left after a flush: it should be tried again in a while.
    bool has_pending() const { return !pending_.empty(); }
    // Goes on in another file of the same kind. What has been gathered goes into the old one if
    // that doesn't block; a line is never torn between the two.
    void replace(UniqueFd file);

  private:
    bool has_room();
    void flush_lines();
    bool end_torn_line();
    ssize_t write_some(std::string_view bytes);
    void flush_journal();
    void lose_lines(uint64_t lines);
    void on_trouble(int error);
    void on_all_written();

    UniqueFd file_;
    const LineLogKind kind_;
    bool is_file_;
    bool begins_torn_ = false;   // the first pending line has been written in part
    bool file_is_torn_ = false;  // the last line in the file has no end, and never will
    bool has_told_of_trouble_ = false;
    std::string pending_;
    std::vector<size_t> entry_bytes_;  // of each pending journal entry
    uint64_t lines_lost_ = 0;          // not told of yet
    SharedNumber* lost_ = nullptr;
};

}  // namespace proxyd
