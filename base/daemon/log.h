// SPDX-License-Identifier: MIT
//
// The error log of a daemon: one line, one write(2), to standard error, and what every log needs:
// time stamps and escaping. Used by the daemons; base/posix and base/handoff never log.
#pragma once

#include "base/posix/unique_fd.h"

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace proxyd {

enum class LogLevel { Error, Warning, Notice };

// Whether a write of up to PIPE_BUF bytes would not block: always so for files, and for a pipe, a
// socket or a terminal as long as its reader keeps up.
bool takes_bytes_now(BorrowedFd file);

// Writes "<time> <level> <text>\n"; nothing if that would block, since a reader of the log that has
// stalled must not stall the daemon.
void log_line(LogLevel level, std::string_view text);

template <typename... Arguments>
void log_error(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    log_line(LogLevel::Error, fmt::format(format, std::forward<Arguments>(arguments)...));
}
template <typename... Arguments>
void log_warning(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    log_line(LogLevel::Warning, fmt::format(format, std::forward<Arguments>(arguments)...));
}
template <typename... Arguments>
void log_notice(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    log_line(LogLevel::Notice, fmt::format(format, std::forward<Arguments>(arguments)...));
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
