// SPDX-License-Identifier: MIT
#include "base/daemon/log.h"

#include "tests/unit/catch.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

using namespace proxyd;

namespace {

// Standard error is a pipe meanwhile, and the level is put back.
class CapturedLog {
  public:
    CapturedLog() {
        int ends[2];
        REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
        read_end_ = UniqueFd::adopt(ends[0]);
        const UniqueFd write_end = UniqueFd::adopt(ends[1]);
        saved_ = UniqueFd::adopt(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3));
        dup2(write_end.borrow().number(), STDERR_FILENO);
        take_log_line_counts();
    }
    ~CapturedLog() {
        dup2(saved_.borrow().number(), STDERR_FILENO);
        set_log_level(LogLevel::Notice);
    }

    // What was written, without the times.
    std::string text() {
        std::string raw(65536, '\0');
        const ssize_t size = read(read_end_.borrow().number(), raw.data(), raw.size());
        raw.resize(size < 0 ? 0 : static_cast<size_t>(size));
        std::string text;
        for (size_t at = 0; at < raw.size();) {
            const size_t end = raw.find('\n', at);
            text += raw.substr(at, end + 1 - at).substr(raw.find(' ', at) + 1 - at);
            at = end + 1;
        }
        return text;
    }

  private:
    UniqueFd read_end_, saved_;
};

struct Formatted {
    static inline int times = 0;
};

}  // namespace

template <>
struct fmt::formatter<Formatted> {
    constexpr auto parse(format_parse_context& context) { return context.begin(); }
    template <typename Context>
    auto format(const Formatted&, Context& context) const {
        Formatted::times++;
        return context.out();
    }
};

TEST_CASE("log: lines of the level and those above it are written", "[log]") {
    CapturedLog log;
    set_log_level(LogLevel::Info);
    log_error("one {}", 1);
    log_warning("two");
    log_notice("three");
    log_info("four");
    log_debug("five");
    CHECK(log.text() == "error one 1\nwarning two\nnotice three\ninfo four\n");

    set_log_level(LogLevel::Error);
    log_error("one");
    log_warning("two");
    CHECK(log.text() == "error one\n");
}

TEST_CASE("log: notices are written at first, and nothing below them", "[log]") {
    CapturedLog log;
    log_notice("three");
    log_info("four");
    CHECK(log.text() == "notice three\n");
}

TEST_CASE("log: with a level that is not logged nothing is formatted", "[log]") {
    CapturedLog log;
    Formatted::times = 0;
    log_debug("{}", Formatted{});
    CHECK(Formatted::times == 0);
    log_notice("{}", Formatted{});
    CHECK(Formatted::times == 1);
}

TEST_CASE("log: lines are counted by level", "[log]") {
    CapturedLog log;
    log_error("one");
    log_warning("two");
    log_warning("two");
    log_debug("five");
    CHECK(take_log_line_counts() == LogLineCounts{1, 2, 0, 0, 0});
    CHECK(take_log_line_counts() == LogLineCounts{});
}

TEST_CASE("log: levels have words", "[log]") {
    for (const char* word : {"error", "warning", "notice", "info", "debug"}) {
        const auto level = log_level_of(word);
        REQUIRE(level);
        CHECK(log_level_word(*level) == word);
    }
    CHECK(log_level_of("warn") == std::nullopt);
    CHECK(log_level_of("") == std::nullopt);
    CHECK(log_level_of("ERROR") == std::nullopt);
}

TEST_CASE("log: a pipe that is nearly full is not waited for, though it takes some bytes",
          "[log]") {
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);  // writes would wait
    const UniqueFd read_end = UniqueFd::adopt(ends[0]);
    const UniqueFd write_end = UniqueFd::adopt(ends[1]);
    const auto size = static_cast<size_t>(fcntl(ends[1], F_SETPIPE_SZ, 4 * 4096));
    REQUIRE(size == 4 * 4096);
    const std::string page(4096, 'x');
    for (int i = 0; i < 3; i++)
        REQUIRE(write_without_waiting(write_end, page) == 4096);
    CHECK(write_without_waiting(write_end, page + page) < 8192);
    (void)write_without_waiting(write_end, page);
    CHECK(write_without_waiting(write_end, "x") == -1);
    CHECK(errno == EAGAIN);
}
