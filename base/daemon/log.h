// SPDX-License-Identifier: MIT
//
// The error log of a daemon: one line, one write(2), to standard error, and what every log needs:
// time stamps and escaping. Used by the daemons; base/posix and base/handoff never log.
//
// A line is "<time> <level> <text>", or "<N><text>" with the priority of sd-daemon(3) when standard
// error is a stream of the systemd journal, which has its own time.
#pragma once

#include "base/posix/unique_fd.h"

#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace proxyd {

enum class LogLevel : uint8_t { Error, Warning, Notice, Info, Debug };
inline constexpr size_t LogLevelCount = 5;

std::string_view log_level_word(LogLevel level);
std::optional<LogLevel> log_level_of(std::string_view word);

namespace detail {
inline LogLevel log_threshold = LogLevel::Notice;
}

// From now on lines of this level and those above it are written; at first "notice".
inline void set_log_level(LogLevel threshold) {
    detail::log_threshold = threshold;
}
inline LogLevel log_level() {
    return detail::log_threshold;
}
inline bool is_logged(LogLevel level) {
    return level <= detail::log_threshold;
}

// Lines of each level since it was asked last, for statistics. After a fork the child has those of
// its parent, unless the parent or the child has asked in between.
using LogLineCounts = std::array<uint64_t, LogLevelCount>;
LogLineCounts take_log_line_counts();

// As write(2), to a pipe, a socket or a terminal that may be in blocking mode; EAGAIN if its reader
// doesn't keep up. No more than PIPE_BUF bytes are written whole or not at all.
ssize_t write_without_waiting(BorrowedFd file, std::string_view bytes);

// Writes the line whatever the threshold; nothing if that would block, since a reader of the log
// that has stalled must not stall the daemon.
void log_line(LogLevel level, std::string_view text);

// With a level that is not logged nothing is formatted.
template <typename... Arguments>
void log_at(LogLevel level, fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    if (is_logged(level))
        log_line(level, fmt::format(format, std::forward<Arguments>(arguments)...));
}
template <typename... Arguments>
void log_error(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    log_at(LogLevel::Error, format, std::forward<Arguments>(arguments)...);
}
template <typename... Arguments>
void log_warning(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    log_at(LogLevel::Warning, format, std::forward<Arguments>(arguments)...);
}
template <typename... Arguments>
void log_notice(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    log_at(LogLevel::Notice, format, std::forward<Arguments>(arguments)...);
}
template <typename... Arguments>
void log_info(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    log_at(LogLevel::Info, format, std::forward<Arguments>(arguments)...);
}
template <typename... Arguments>
void log_debug(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    log_at(LogLevel::Debug, format, std::forward<Arguments>(arguments)...);
}

// Now as RFC 3339 in UTC with microseconds: "2026-01-31T23:59:59.123456Z".
void append_time(std::string& out);

// Appends bytes of unknown origin so that they can't forge or break a line: letters, digits and
// "-_.:/*@,[]%+" stay, all else becomes \xNN (so no value holds a blank or a "="); what is
// beyond `bytes_max` is cut and marked with "...".
void append_escaped(std::string& out, std::string_view raw, size_t bytes_max = 512);

// The text of an errno value, as strerror(3) has it in the C locale.
std::string_view errno_text(int number);

}  // namespace proxyd
