// SPDX-License-Identifier: MIT
#include "base/daemon/line_log.h"

#include "tests/support/fd_census.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/catch.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
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

constexpr const char* LongLine =
    "a line of more than forty bytes, which is what there is room for on the smallest disk";

std::string contents(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

size_t line_count(const std::string& text) {
    return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

UniqueFd open_file(const std::string& path) {
    return UniqueFd::adopt(open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
}

struct Log {
    explicit Log(UniqueFd file, LineLogKind kind = LineLogKind::Lines)
        : log(std::move(file), kind) {
        log.count_losses_in(lost);
    }
    void add(std::string_view line) {
        log.add([&](std::string& out) { out.append(line).append("\n"); });
    }

    SharedNumber lost;
    LineLog log;
};

// A journal of our own: a datagram socket with a path.
struct Journal {
    TemporaryDirectory directory;
    std::string path = directory.path().string() + "/socket";
    UniqueFd socket = UniqueFd::adopt(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));

    Journal() {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        strcpy(address.sun_path, path.c_str());
        REQUIRE(bind(socket.borrow().number(), reinterpret_cast<sockaddr*>(&address),
                     sizeof(address)) == 0);
    }
    UniqueFd connect() { return *open_line_log("journal", true, path.c_str()); }
    std::string receive() {
        std::string entry(65536, '\0');
        const ssize_t size =
            recv(socket.borrow().number(), entry.data(), entry.size(), MSG_DONTWAIT);
        entry.resize(size < 0 ? 0 : static_cast<size_t>(size));
        return entry;
    }
};

}  // namespace

TEST_CASE("line log: lines are gathered and written at once", "[line_log]") {
    TemporaryDirectory directory;
    const std::string path = directory.path().string() + "/log";
    Log log(open_file(path));
    log.add("first");
    log.add("second");
    CHECK(contents(path).empty());
    CHECK(log.log.has_pending());
    log.log.flush();
    CHECK_FALSE(log.log.has_pending());
    CHECK(contents(path) == "first\nsecond\n");
}

TEST_CASE("line log: a replaced file has all lines from before, the new one all after",
          "[line_log]") {
    TemporaryDirectory directory;
    const std::string old_path = directory.path().string() + "/old",
                      new_path = directory.path().string() + "/new";
    Log log(open_file(old_path));
    log.add("first");
    log.log.replace(open_file(new_path));
    log.add("second");
    log.log.flush();
    CHECK(contents(old_path) == "first\n");
    CHECK(contents(new_path) == "second\n");
}

TEST_CASE("line log: what a stalled reader has no room for goes into the new file", "[line_log]") {
    TemporaryDirectory directory;
    const std::string new_path = directory.path().string() + "/new";
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    const UniqueFd reader = UniqueFd::adopt(ends[0]);
    Log log(UniqueFd::adopt(ends[1]));
    const int pipe_bytes = fcntl(reader.borrow().number(), F_GETPIPE_SZ);
    size_t lines = 0;
    for (; !log.log.has_pending() || lines == 0; lines++) {
        log.add(LongLine);
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
    CHECK(log.lost.read() == 0);
}

TEST_CASE("line log: on a full disk lines are lost and counted, and it recovers", "[line_log]") {
    TemporaryDirectory directory;
    Log log(UniqueFd::adopt(open("/dev/full", O_WRONLY | O_CLOEXEC)));
    for (int i = 0; i < 3; i++) {
        log.add("lost");
        log.log.flush();
    }
    CHECK(log.lost.read() == 3);
    CHECK_FALSE(log.log.has_pending());

    const std::string path = directory.path().string() + "/log";
    log.log.replace(open_file(path));
    log.add("kept");
    log.log.flush();
    CHECK(line_count(contents(path)) == 1);
    CHECK(log.lost.read() == 3);
}

// RLIMIT_FSIZE makes a disk of a few bytes.
TEST_CASE("line log: a line that a full disk has cut is ended before the next one", "[line_log]") {
    TemporaryDirectory directory;
    const std::string path = directory.path().string() + "/log";
    Log log(open_file(path));
    rlimit before{};
    REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
    const auto handler = signal(SIGXFSZ, SIG_IGN);
    const rlimit small{40, before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
    log.add(LongLine);
    log.log.flush();
    log.add("lost");
    log.log.flush();
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, handler);
    log.add("kept");
    log.log.flush();

    CHECK(contents(path) == std::string(LongLine, 0, 40) + "\nkept\n");
    CHECK(log.lost.read() == 2);
}

TEST_CASE("line log: the journal gets an entry for each line", "[line_log]") {
    Journal journal;
    Log log(journal.connect(), LineLogKind::Journal);
    log.add("MESSAGE=first");
    log.add("MESSAGE=second");
    log.log.flush();
    CHECK_FALSE(log.log.has_pending());
    const std::string first = journal.receive(), second = journal.receive();
    CHECK(first == "MESSAGE=first\n");
    CHECK(second == "MESSAGE=second\n");
    CHECK(journal.receive().empty());
}

TEST_CASE("line log: a journal that doesn't keep up gets the rest later, in order", "[line_log]") {
    Journal journal;
    Log log(journal.connect(), LineLogKind::Journal);
    constexpr size_t Count = 200;  // more than the queue of a datagram socket takes, and one call
    for (size_t i = 0; i < Count; i++)
        log.add(fmt::format("MESSAGE=id-{}", i));
    size_t received = 0;
    for (size_t rounds = 0; received < Count && rounds < Count; rounds++) {
        log.log.flush();
        for (std::string entry; !(entry = journal.receive()).empty(); received++)
            CHECK(entry == fmt::format("MESSAGE=id-{}\n", received));
    }
    CHECK(received == Count);
    CHECK_FALSE(log.log.has_pending());
    CHECK(log.lost.read() == 0);
}

TEST_CASE("line log: entries for a journal that has gone are lost and counted", "[line_log]") {
    Journal journal, successor;
    Log log(journal.connect(), LineLogKind::Journal);
    journal.socket.close();
    log.add("MESSAGE=lost");
    log.log.flush();
    CHECK_FALSE(log.log.has_pending());
    CHECK(log.lost.read() == 1);

    log.log.replace(successor.connect());
    log.add("MESSAGE=kept");
    log.log.flush();
    CHECK(successor.receive() == "MESSAGE=kept\n");
}

TEST_CASE("line log: what can't be opened says why", "[line_log]") {
    const auto missing = open_line_log("journal", true, "/nowhere/socket");
    REQUIRE_FALSE(missing);
    CHECK(missing.error() == Errno{ENOENT});
    const auto nowhere = open_line_log("/nowhere/log", true);
    REQUIRE_FALSE(nowhere);
    CHECK(nowhere.error() == Errno{ENOENT});
}

TEST_CASE("line log: is closed on exec and leaves no descriptor", "[line_log]") {
    const auto before = test::open_fds();
    {
        Journal journal;
        CHECK(test::is_close_on_exec(journal.connect()));
        const auto standard_error = open_line_log("stderr", true);
        REQUIRE(standard_error);
        CHECK(test::is_close_on_exec(*standard_error));
        Log log(journal.connect(), LineLogKind::Journal);
        log.log.replace(journal.connect());
    }
    CHECK(test::open_fds() == before);
}
