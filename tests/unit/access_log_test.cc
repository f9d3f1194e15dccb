// SPDX-License-Identifier: MIT
//
// What is written where and when is line_log's affair, and tested with it.
#include "proxyd/access_log.h"

#include "tests/support/temporary_directory.h"
#include "tests/unit/catch.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
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
    explicit Log(UniqueFd file, LineLogKind kind = LineLogKind::Lines,
                 AccessLogFormat format = AccessLogFormat::Text)
        : log(std::move(file), kind, format) {
        log.count_in(*statistics);
    }

    std::unique_ptr<ProcessStatistics> statistics = std::make_unique<ProcessStatistics>();
    AccessLog log;
};

}  // namespace

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

TEST_CASE("access_log: lines that are lost are counted", "[access_log]") {
    Log log(UniqueFd::adopt(open("/dev/full", O_WRONLY | O_CLOEXEC)));
    log.log.add(record_of("lost"));
    log.log.flush();
    CHECK(log.statistics->access_lines_lost.read() == 1);
}

TEST_CASE("access_log: a line is text or JSON, with its time", "[access_log]") {
    TemporaryDirectory directory;
    const std::string path = directory.path().string() + "/log";
    Log text(open_file(path)), json(open_file(path), LineLogKind::Lines, AccessLogFormat::Json);
    text.log.add(record_of("first"));
    text.log.flush();
    json.log.add(record_of("second"));
    json.log.flush();
    REQUIRE(line_count(contents(path)) == 2);
    const std::string first = contents(path).substr(0, contents(path).find('\n'));
    const std::string second = contents(path).substr(first.size() + 1);
    CHECK(first.find("Z access id=first client=- ") == strlen("2026-01-31T23:59:59.123456"));
    CHECK(second.starts_with("{\"time\":\"2"));
    CHECK(second.find("Z\",\"id\":\"second\",\"client\":null,") != std::string::npos);
}

TEST_CASE("access_log: the journal gets an entry with a message and fields", "[access_log]") {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) == 0);
    const UniqueFd journal = UniqueFd::adopt(ends[0]);
    Log log(UniqueFd::adopt(ends[1]), LineLogKind::Journal);
    log.log.add(record_of("first"));
    log.log.flush();
    CHECK_FALSE(log.log.has_pending());
    std::string entry(65536, '\0');
    const ssize_t size = recv(journal.borrow().number(), entry.data(), entry.size(), MSG_DONTWAIT);
    REQUIRE(size > 0);
    entry.resize(static_cast<size_t>(size));
    CHECK(entry.starts_with("MESSAGE=access id=first client=- "));
    CHECK(entry.find("\nPRIORITY=6\nSYSLOG_IDENTIFIER=proxyd\nPROXYD_ID=first\n") != entry.npos);
}
