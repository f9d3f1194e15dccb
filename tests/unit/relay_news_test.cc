// SPDX-License-Identifier: MIT
#include "proxyd/relay_news.h"

#include "base/daemon/service_manager.h"
#include "tests/support/loop_runner.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/catch.h"

#include <stdlib.h>
#include <unistd.h>

using namespace proxyd;

namespace {

struct Heard final : RelayNews::Owner {
    void on_relay_message(pid_t sender, const RelayMessage& message) override {
        senders.push_back(sender);
        messages.push_back(message);
    }
    std::vector<pid_t> senders;
    std::vector<RelayMessage> messages;
};

}  // namespace

TEST_CASE("relay_news: a message has what it says in lines of its own", "[relay_news]") {
    const RelayMessage failed =
        parse_relay_message("READY=1\nSTATUS=READY=1 X_PROBLEM=no\nX_PROBLEM=one\nX_PROBLEM=two");
    CHECK(failed.is_ready);
    CHECK_FALSE(failed.is_reloading);
    CHECK(failed.problems == std::vector<std::string>{"one", "two"});
    CHECK(parse_relay_message("RELOADING=1\nSTATUS=\n").is_reloading);
    CHECK_FALSE(parse_relay_message("").is_ready);
    CHECK_FALSE(parse_relay_message("READY=10\n READY=1").is_ready);
}

TEST_CASE("relay_news: what is told the service manager arrives with its sender", "[relay_news]") {
    const test::TemporaryDirectory directory;
    const std::string path = directory.path() / "notify";
    EventLoop loop;
    Heard heard;
    {
        RelayNews news(loop, heard);
        REQUIRE(news.listen(path));
        CHECK(news.path() == path);
        setenv("NOTIFY_SOCKET", path.c_str(), 1);
        const std::vector<std::string> problems = {"a: is\nwrong", "b"};
        REQUIRE(notify_ready("serving", problems));
        REQUIRE(notify_failure(problems));
        unsetenv("NOTIFY_SOCKET");
        REQUIRE(test::run_until(loop, [&] { return heard.messages.size() == 2; }));
    }
    CHECK(heard.senders == std::vector<pid_t>{getpid(), getpid()});
    CHECK(heard.messages[0].is_ready);
    CHECK(heard.messages[0].problems == std::vector<std::string>{"a: is wrong", "b"});
    CHECK_FALSE(heard.messages[1].is_ready);
    CHECK(heard.messages[1].problems == heard.messages[0].problems);
    CHECK(access(path.c_str(), F_OK) != 0);
}

TEST_CASE("relay_news: a socket that was left there is replaced", "[relay_news]") {
    const test::TemporaryDirectory directory;
    const std::string path = directory.path() / "notify";
    EventLoop loop;
    Heard heard;
    RelayNews before(loop, heard), after(loop, heard);
    REQUIRE(before.listen(path));
    REQUIRE(after.listen(path));
    CHECK(after.listen(std::string(200, 'x')).error().number == ENAMETOOLONG);
}
