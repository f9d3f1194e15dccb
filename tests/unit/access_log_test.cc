// SPDX-License-Identifier: MIT
#include "proxyd/access_log.h"

#include "tests/support/fd_census.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/catch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>

using namespace proxyd;
using test::TemporaryDirectory;

namespace {

std::string contents(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

size_t line_count(const std::string& text) {
    return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

AccessRecord record_of(std::string_view id) {
    AccessRecord record;
    record.id = id;
    record.verdict = Verdict::HandedOver;
    record.reason = "exact_name";
    record.hello_us = 60;
    record.handoff_us = 120;
    return record;
}

UniqueFd open_file(const std::string& path) {
    return UniqueFd::adopt(open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
}

struct Log {
    explicit Log(UniqueFd file, AccessLogKind kind = AccessLogKind::Lines)
        : log(std::move(file), kind, AccessLogFormat::Text) {
        log.count_in(*statistics);
    }

    std::unique_ptr<ProcessStatistics> statistics = std::make_unique<ProcessStatistics>();
    AccessLog log;
};

// A journal of our own: a datagram socket with a path.
struct Journal {
    TemporaryDirectory directory;
    std::string path = directory.path().string() + "/socket";
    UniqueFd socket = UniqueFd::adopt(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    Configuration configuration;

    Journal() {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        strcpy(address.sun_path, path.c_str());
        REQUIRE(bind(socket.borrow().number(), reinterpret_cast<sockaddr*>(&address),
                     sizeof(address)) == 0);
        configuration.daemon.access_log = "journal";
    }
    UniqueFd connect() { return *open_access_log(configuration, true, path.c_str()); }
    std::string receive() {
        std::string entry(65536, '\0');
        const ssize_t size =
            recv(socket.borrow().number(), entry.data(), entry.size(), MSG_DONTWAIT);
        entry.resize(size < 0 ? 0 : static_cast<size_t>(size));
        return entry;
    }
};

}  // namespace

TEST_CASE("access_log: lines are gathered and written at once", "[access_log]") {
    TemporaryDirectory directory;
    const std::string path = directory.path().string() + "/log";
    Log log(open_file(path));
    log.log.add(record_of("first"));
    log.log.add(record_of("second"));
    CHECK(contents(path).empty());
    CHECK(log.log.has_pending());
    log.log.flush();
    CHECK_FALSE(log.log.has_pending());
    CHECK(line_count(contents(path)) == 2);
    CHECK(contents(path).find(" access id=first ") < contents(path).find(" access id=second "));
}

TEST_CASE("access_log: sessions and their times are counted", "[access_log]") {
    TemporaryDirectory directory;
    Log log(open_file(directory.path().string() + "/log"));
    log.log.add(record_of("first"));
    AccessRecord waited = record_of("second");
    waited.verdict = Verdict::Rejected;
    waited.reason = "site_absent";
    waited.has_waited_for_site = true;
    log.log.add(waited);
    AccessRecord gone;
    gone.verdict = Verdict::Closed;
    log.log.add(gone);

    CHECK(log.log.count(Verdict::HandedOver) == 1);
    CHECK(log.log.count(Verdict::Rejected) == 1);
    CHECK(log.log.count(Verdict::Closed) == 1);
    CHECK(log.statistics->timings[static_cast<size_t>(Timing::Hello)].sum_us.read() == 120);
    CHECK(log.statistics->timings[static_cast<size_t>(Timing::Handoff)].sum_us.read() == 120);
    CHECK(log.statistics->timings[static_cast<size_t>(Timing::SiteWait)].sum_us.read() == 120);
}

TEST_CASE("access_log: a replaced file has all lines from before, the new one all after",
          "[access_log]") {
    TemporaryDirectory directory;
    const std::string old_path = directory.path().string() + "/old",
                      new_path = directory.path().string() + "/new";
    Log log(open_file(old_path));
    log.log.add(record_of("first"));
    log.log.replace(open_file(new_path));
    log.log.add(record_of("second"));
    log.log.flush();
    CHECK(contents(old_path).find(" id=first ") != std::string::npos);
    CHECK(line_count(contents(old_path)) == 1);
    CHECK(contents(new_path).find(" id=second ") != std::string::npos);
    CHECK(line_count(contents(new_path)) == 1);
}

TEST_CASE("access_log: what a stalled reader has no room for goes into the new file",
          "[access_log]") {
    TemporaryDirectory directory;
    const std::string new_path = directory.path().string() + "/new";
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    const UniqueFd reader = UniqueFd::adopt(ends[0]);
    Log log(UniqueFd::adopt(ends[1]));
    const int pipe_bytes = fcntl(reader.borrow().number(), F_GETPIPE_SZ);
    size_t lines = 0;
    for (; !log.log.has_pending() || lines == 0; lines++) {
        log.log.add(record_of("some"));
        log.log.flush();
    }
    log.log.replace(open_file(new_path));
    log.log.flush();
    CHECK_FALSE(log.log.has_pending());

    std::string piped(static_cast<size_t>(pipe_bytes), '\0');
    const ssize_t size = read(reader.borrow().number(), piped.data(), piped.size());
    REQUIRE(size > 0);
    piped.resize(static_cast<size_t>(size));
    CHECK(piped.ends_with('\n'));
    CHECK(line_count(piped) + line_count(contents(new_path)) == lines);
    CHECK(log.statistics->access_lines_lost.read() == 0);
}

TEST_CASE("access_log: on a full disk lines are lost and counted, and it recovers",
          "[access_log]") {
    TemporaryDirectory directory;
    Log log(UniqueFd::adopt(open("/dev/full", O_WRONLY | O_CLOEXEC)));
    for (int i = 0; i < 3; i++) {
        log.log.add(record_of("lost"));
        log.log.flush();
    }
    CHECK(log.statistics->access_lines_lost.read() == 3);
    CHECK_FALSE(log.log.has_pending());

    const std::string path = directory.path().string() + "/log";
    log.log.replace(open_file(path));
    log.log.add(record_of("kept"));
    log.log.flush();
    CHECK(line_count(contents(path)) == 1);
    CHECK(log.statistics->access_lines_lost.read() == 3);
}

// RLIMIT_FSIZE makes a disk of a few bytes.
TEST_CASE("access_log: a line that a full disk has cut is ended before the next one",
          "[access_log]") {
    TemporaryDirectory directory;
    const std::string path = directory.path().string() + "/log";
    Log log(open_file(path));
    rlimit before{};
    REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
    const auto handler = signal(SIGXFSZ, SIG_IGN);
    const rlimit small{40, before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
    log.log.add(record_of("cut"));
    log.log.flush();
    log.log.add(record_of("lost"));
    log.log.flush();
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, handler);
    log.log.add(record_of("kept"));
    log.log.flush();

    const std::string text = contents(path);
    CHECK(line_count(text) == 2);
    CHECK(text.find('\n') == 40);
    CHECK(text.find(" access id=kept ") == 41 + strlen("2026-01-31T23:59:59.123456Z"));
    CHECK(log.statistics->access_lines_lost.read() == 2);
}

TEST_CASE("access_log: who follows sees each session as JSON", "[access_log]") {
    struct Follower final : AccessLog::Follower {
        void on_access_line(std::string_view json) override { lines.emplace_back(json); }
        std::vector<std::string> lines;
    } follower;
    TemporaryDirectory directory;
    const std::string path = directory.path().string() + "/log";
    Log log(open_file(path));
    log.log.add(record_of("unseen"));
    log.log.follow(&follower);
    log.log.add(record_of("seen"));
    log.log.follow(nullptr);
    log.log.add(record_of("unseen"));
    log.log.flush();

    REQUIRE(follower.lines.size() == 1);
    CHECK(follower.lines[0].starts_with("{\"time\":\""));
    CHECK(follower.lines[0].find("\"id\":\"seen\"") != std::string::npos);
    CHECK(follower.lines[0].ends_with("}\n"));
    CHECK(line_count(contents(path)) == 3);
    CHECK(contents(path).find('{') == std::string::npos);
}

TEST_CASE("access_log: the journal gets an entry for each session", "[access_log]") {
    Journal journal;
    Log log(journal.connect(), AccessLogKind::Journal);
    log.log.add(record_of("first"));
    log.log.add(record_of("second"));
    log.log.flush();
    CHECK_FALSE(log.log.has_pending());
    const std::string first = journal.receive(), second = journal.receive();
    CHECK(first.starts_with("MESSAGE=access id=first client=- "));
    CHECK(first.find("\nPRIORITY=6\nSYSLOG_IDENTIFIER=proxyd\nPROXYD_ID=first\n") != first.npos);
    CHECK(second.find("\nPROXYD_ID=second\n") != second.npos);
    CHECK(journal.receive().empty());
}

TEST_CASE("access_log: a journal that doesn't keep up gets the rest later, in order",
          "[access_log]") {
    Journal journal;
    Log log(journal.connect(), AccessLogKind::Journal);
    constexpr size_t Count = 200;  // more than the queue of a datagram socket takes, and one call
    for (size_t i = 0; i < Count; i++)
        log.log.add(record_of(fmt::format("id-{}", i)));
    size_t received = 0;
    for (size_t rounds = 0; received < Count && rounds < Count; rounds++) {
        log.log.flush();
        for (std::string entry; !(entry = journal.receive()).empty(); received++)
            CHECK(entry.find(fmt::format("\nPROXYD_ID=id-{}\n", received)) != entry.npos);
    }
    CHECK(received == Count);
    CHECK_FALSE(log.log.has_pending());
    CHECK(log.statistics->access_lines_lost.read() == 0);
}

TEST_CASE("access_log: entries for a journal that has gone are lost and counted", "[access_log]") {
    Journal journal, successor;
    Log log(journal.connect(), AccessLogKind::Journal);
    journal.socket.close();
    log.log.add(record_of("lost"));
    log.log.flush();
    CHECK_FALSE(log.log.has_pending());
    CHECK(log.statistics->access_lines_lost.read() == 1);

    log.log.replace(successor.connect());
    log.log.add(record_of("kept"));
    log.log.flush();
    CHECK(successor.receive().find("PROXYD_ID=kept\n") != std::string::npos);
}

TEST_CASE("access_log: what can't be opened says why", "[access_log]") {
    Configuration configuration;
    configuration.daemon.access_log = "journal";
    const auto missing = open_access_log(configuration, true, "/nowhere/socket");
    REQUIRE_FALSE(missing);
    CHECK(missing.error() == Errno{ENOENT});
    configuration.daemon.access_log = "/nowhere/log";
    const auto nowhere = open_access_log(configuration, true);
    REQUIRE_FALSE(nowhere);
    CHECK(nowhere.error() == Errno{ENOENT});
}

TEST_CASE("access_log: is closed on exec and leaves no descriptor", "[access_log]") {
    const auto before = test::open_fds();
    {
        Journal journal;
        CHECK(test::is_close_on_exec(journal.connect()));
        Configuration configuration;
        const auto standard_error = open_access_log(configuration, true);
        REQUIRE(standard_error);
        CHECK(test::is_close_on_exec(*standard_error));
        Log log(journal.connect(), AccessLogKind::Journal);
        log.log.replace(journal.connect());
    }
    CHECK(test::open_fds() == before);
}
