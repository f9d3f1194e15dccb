// SPDX-License-Identifier: MIT
#include "base/daemon/log.h"

#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <iterator>

namespace proxyd {
namespace {

std::string_view level_word(LogLevel level) {
    switch (level) {
        case LogLevel::Error:
            return "error";
        case LogLevel::Warning:
            return "warning";
        case LogLevel::Notice:
            return "notice";
    }
    return "?";
}

bool stays(char c) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
    return c != '\0' && strchr("-_.:/*@,[]%+", c) != nullptr;
}

}  // namespace

bool takes_bytes_now(BorrowedFd file) {
    pollfd query{file.number(), POLLOUT, 0};
    return poll(&query, 1, 0) == 1 && (query.revents & POLLOUT) != 0;
}

void log_line(LogLevel level, std::string_view text) {
    std::string line;
    append_time(line);
    fmt::format_to(std::back_inserter(line), " {} {}\n", level_word(level), text);
    if (takes_bytes_now(BorrowedFd(STDERR_FILENO)))
        (void)!write(STDERR_FILENO, line.data(), line.size());  // there is nobody left to tell
}

void append_time(std::string& out) {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    tm utc;
    gmtime_r(&now.tv_sec, &utc);
    fmt::format_to(std::back_inserter(out), "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
                   utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
                   utc.tm_sec, now.tv_nsec / 1000);
}

void append_escaped(std::string& out, std::string_view raw, size_t bytes_max) {
    for (const char c : raw.substr(0, bytes_max)) {
        if (stays(c))
            out += c;
        else
            fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<unsigned char>(c));
    }
    if (raw.size() > bytes_max) out += "...";
}

std::string_view errno_text(int number) {
    return strerrordesc_np(number);
}

}  // namespace proxyd
