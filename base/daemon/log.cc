// SPDX-License-Identifier: MIT
#include "base/daemon/log.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <iterator>
#include <utility>

namespace proxyd {
namespace {

struct LevelText {
    std::string_view word;
    char priority;  // of syslog(3)
};
constexpr std::array<LevelText, LogLevelCount> LevelTexts = {
    {{"error", '3'}, {"warning", '4'}, {"notice", '5'}, {"info", '6'}, {"debug", '7'}}};

LogLineCounts line_counts{};

// systemd tells which file its journal reads (systemd.exec(5)); it may have been redirected since.
bool is_journal(int fd) {
    const char* const stream = getenv("JOURNAL_STREAM");
    struct stat status;
    if (stream == nullptr || fstat(fd, &status) != 0) return false;
    return fmt::format("{}:{}", status.st_dev, status.st_ino) == stream;
}

bool is_regular_file(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

constexpr std::array<bool, 256> staying_bytes() {
    std::array<bool, 256> stays{};
    for (const char c : std::string_view("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                         "0123456789-_.:/*@,[]%+"))
        stays[static_cast<unsigned char>(c)] = true;
    return stays;
}
constexpr std::array<bool, 256> Stays = staying_bytes();

}  // namespace

ssize_t write_without_waiting(BorrowedFd file, std::string_view bytes) {
    // The file is shared with other processes, so its flags are not ours; and what poll says may
    // be over with the next write of one of them.
    const iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
    const ssize_t written = pwritev2(file.number(), &piece, 1, -1, RWF_NOWAIT);
    if (written >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS)) return written;
    // A terminal, or pipes before Linux 6.4.
    pollfd query{file.number(), POLLOUT, 0};
    if (poll(&query, 1, 0) == 1 && (query.revents & POLLOUT) != 0)
        return write(file.number(), bytes.data(), bytes.size());
    errno = EAGAIN;
    return -1;
}

std::string_view log_level_word(LogLevel level) {
    return LevelTexts[static_cast<size_t>(level)].word;
}

std::optional<LogLevel> log_level_of(std::string_view word) {
    for (size_t i = 0; i < LogLevelCount; i++)
        if (LevelTexts[i].word == word) return static_cast<LogLevel>(i);
    return std::nullopt;
}

LogLineCounts take_log_line_counts() {
    return std::exchange(line_counts, LogLineCounts{});
}

void log_line(LogLevel level, std::string_view text) {
    static const bool to_journal = is_journal(STDERR_FILENO);
    static const bool to_file = is_regular_file(STDERR_FILENO);
    line_counts[static_cast<size_t>(level)]++;
    std::string line;
    if (to_journal) {
        const char priority = LevelTexts[static_cast<size_t>(level)].priority;
        fmt::format_to(std::back_inserter(line), "<{}>{}\n", priority, text);
    } else {
        append_time(line);
        fmt::format_to(std::back_inserter(line), " {} {}\n", log_level_word(level), text);
    }
    // There is nobody left to tell.
    if (to_file)
        (void)!write(STDERR_FILENO, line.data(), line.size());
    else
        (void)write_without_waiting(BorrowedFd(STDERR_FILENO), line);
}

void append_time(std::string& out) {
    // The text up to the second, which many lines have in common; daemons have one thread.
    static time_t second = -1;
    static std::string text;
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != second) {
        second = now.tv_sec;
        tm utc;
        gmtime_r(&second, &utc);
        text = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.", utc.tm_year + 1900,
                           utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
    }
    std::array<char, 7> microseconds;
    long left = now.tv_nsec / 1000;
    for (size_t i = 6; i-- > 0; left /= 10)
        microseconds[i] = static_cast<char>('0' + left % 10);
    microseconds[6] = 'Z';
    out.append(text).append(microseconds.data(), microseconds.size());
}

void append_escaped(std::string& out, std::string_view raw, size_t bytes_max) {
    std::string_view rest = raw.substr(0, bytes_max);
    while (!rest.empty()) {
        size_t clean = 0;
        while (clean < rest.size() && Stays[static_cast<unsigned char>(rest[clean])])
            clean++;
        out.append(rest.substr(0, clean));
        rest.remove_prefix(clean);
        if (rest.empty()) break;
        fmt::format_to(std::back_inserter(out), "\\x{:02x}",
                       static_cast<unsigned char>(rest.front()));
        rest.remove_prefix(1);
    }
    if (raw.size() > bytes_max) out += "...";
}

std::string_view errno_text(int number) {
    return strerrordesc_np(number);
}

}  // namespace proxyd
