// SPDX-License-Identifier: MIT
//
// The state that one program passes on to the next. Who passes it on and who takes it are one
// program here: /bin/sh stands for the new one, and shows what it was given.
#include "proxyd/upgrade.h"

#include "tests/support/fd_census.h"
#include "tests/unit/catch.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

using namespace proxyd;

namespace {

constexpr const char* Variable = "PROXYD_INHERITED_STATE";

struct Passing {
    Configuration configuration = *parse_configuration(
        R"({"listen": ["127.0.0.1:0"], "routes": {"*": "/run/site"}, "workers": 2})", "FILE");
    std::vector<std::string> problems;
    ListeningAddresses addresses = bind_listening_sockets(configuration, {}, problems);
    std::pair<UniqueFd, UniqueFd> channel = make_pair();
    UniqueFd statistics = UniqueFd::adopt(memfd_create("statistics", MFD_CLOEXEC));
    std::string text = "{ a text \xc3\xa4 }";
    std::string text_in_force = "{\"in\": \"force\"}";
    StateToPass state{
        .configuration_text = text,
        .text_in_force = text_in_force,
        .addresses = addresses,
        .workers = {{4711, 1, 7, channel.first}, {4712, 0, std::nullopt, channel.second, true}},
        .metrics_address = "unix:/run/metrics.sock",
        .metrics_socket = std::nullopt,
        .control_path = "/run/control.sock",
        .control_socket = std::nullopt,
        .statistics = statistics,
        .counts = {1795217812625000, 1, 2, 3, 4, 5},
        .generation = 12,
        .run_number = 34};

    static std::pair<UniqueFd, UniqueFd> make_pair() {
        int ends[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        return {UniqueFd::adopt(ends[0]), UniqueFd::adopt(ends[1])};
    }
};

Program shell(std::string script) {
    return {"/bin/sh", {"sh", "-c", std::move(script)}};
}

// Of a program that ends.
std::pair<int, std::vector<std::string>> tried(const Program& program, const StateToPass& state) {
    const auto trial = start_trial(program, state);
    REQUIRE(trial.has_value());
    int status = -1;
    REQUIRE(waitpid(trial->pid, &status, 0) == trial->pid);
    return {status, trial->lines()};
}

constexpr const char* ShowState =
    "pid=${PROXYD_INHERITED_STATE#*,} fd=${PROXYD_INHERITED_STATE%,*}; "
    "test $pid = $$ || echo not for me; cat /proc/self/fd/$fd";

// As main does; the variable must be gone afterwards.
Result<std::optional<InheritedState>, std::string> taken() {
    auto state = take_inherited_state();
    CHECK(getenv(Variable) == nullptr);
    return state;
}

UniqueFd file_of(std::string_view text) {
    UniqueFd file = UniqueFd::adopt(memfd_create("state", MFD_CLOEXEC));
    REQUIRE(write(file.borrow().number(), text.data(), text.size()) ==
            static_cast<ssize_t>(text.size()));
    return file;
}

void set_variable(const UniqueFd& file, pid_t pid = getpid()) {
    setenv(Variable, fmt::format("{},{}", file.borrow().number(), pid).c_str(), 1);
}

UniqueFd duplicate_of(BorrowedFd fd) {
    return UniqueFd::adopt(fcntl(fd.number(), F_DUPFD, 3));
}

}  // namespace

TEST_CASE_METHOD(Passing, "upgrade: a trial is told of sockets and of no worker", "[upgrade]") {
    const auto before = test::open_fds();
    const auto [status, lines] = tried(shell(ShowState), state);
    CHECK(status == 0);
    REQUIRE(lines.size() == 1);
    const auto seen = nlohmann::json::parse(lines[0]);
    CHECK(seen.at("is_trial") == true);
    CHECK(seen.at("configuration") == text);
    CHECK(seen.at("listening").at(0).at("sockets").size() == 2);
    CHECK(seen.at("workers").empty());
    CHECK_FALSE(seen.contains("statistics"));
    CHECK(test::open_fds() == before);
    for (const SharedSocket& socket : addresses[0].sockets)
        CHECK(test::is_close_on_exec(*socket));
}

TEST_CASE_METHOD(Passing, "upgrade: what a trial says is told line by line", "[upgrade]") {
    const auto [status, lines] =
        tried(shell("echo one; echo two >&2; printf three; exit 3"), state);
    CHECK(WEXITSTATUS(status) == 3);
    CHECK(lines == std::vector<std::string>{"one", "two", "three"});
}

TEST_CASE_METHOD(Passing, "upgrade: a program that can't be executed says why", "[upgrade]") {
    const auto [status, lines] = tried({"/no/such/program", {"proxyd"}}, state);
    CHECK(WEXITSTATUS(status) == 1);
    CHECK(lines == std::vector<std::string>{"/no/such/program: No such file or directory"});
    const auto before = test::open_fds();
    CHECK(become({"/no/such/program", {"proxyd"}}, state) == Errno{ENOENT});
    CHECK(getenv(Variable) == nullptr);
    CHECK(test::open_fds() == before);
    for (const BorrowedFd fd : {BorrowedFd(channel.first), BorrowedFd(statistics)})
        CHECK(test::is_close_on_exec(fd));
    sigset_t blocked;
    sigprocmask(SIG_BLOCK, nullptr, &blocked);
    CHECK(sigismember(&blocked, SIGTERM) == 0);
}

TEST_CASE_METHOD(Passing, "upgrade: what is passed on is what is taken", "[upgrade]") {
    // A child becomes the shell, which shows the state; descriptors in it are the child's, and it
    // is read back here, where they have the same numbers.
    const UniqueFd output = UniqueFd::adopt(memfd_create("output", MFD_CLOEXEC));
    const pid_t child = fork();
    if (child == 0) {
        dup2(output.borrow().number(), STDOUT_FILENO);
        (void)become(shell(ShowState), state);
        _exit(1);
    }
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(status == 0);
    std::string seen(65536, 0);
    seen.resize(static_cast<size_t>(pread(output.borrow().number(), seen.data(), seen.size(), 0)));

    // They are taken over, so they are given copies.
    auto json = nlohmann::json::parse(seen);
    for (auto& socket : json["listening"][0]["sockets"])
        socket = duplicate_of(BorrowedFd(socket.get<int>())).release();
    for (auto& worker : json["workers"])
        worker["channel"] = duplicate_of(BorrowedFd(worker["channel"].get<int>())).release();
    json["statistics"] = duplicate_of(statistics).release();
    UniqueFd file = file_of(json.dump());
    set_variable(file);
    (void)file.release();
    const auto inherited = taken();
    REQUIRE(inherited.has_value());
    REQUIRE(inherited->has_value());
    const InheritedState& in = **inherited;
    CHECK_FALSE(in.is_trial);
    CHECK(in.configuration_text == text);
    CHECK(in.text_in_force == "{\"in\": \"force\"}");
    CHECK(in.generation == 12);
    CHECK(in.run_number == 34);
    CHECK(in.metrics_address == "unix:/run/metrics.sock");
    CHECK(in.control_path == "/run/control.sock");
    CHECK_FALSE(in.metrics_socket.is_open());
    CHECK_FALSE(in.control_socket.is_open());
    CHECK(in.counts.started_at_us == 1795217812625000);
    CHECK(in.counts.reloads == 1);
    CHECK(in.counts.reload_failures == 2);
    CHECK(in.counts.upgrades == 3);
    CHECK(in.counts.upgrade_failures == 4);
    CHECK(in.counts.worker_restarts == 5);
    CHECK(test::inode_of(in.statistics) == test::inode_of(statistics));
    REQUIRE(in.addresses.size() == 1);
    CHECK(in.addresses[0].requested == addresses[0].requested);
    CHECK(in.addresses[0].address == addresses[0].address);
    CHECK(in.addresses[0].is_listening);
    REQUIRE(in.addresses[0].sockets.size() == 2);
    for (size_t i = 0; i < 2; i++) {
        CHECK(test::inode_of(*in.addresses[0].sockets[i]) ==
              test::inode_of(*addresses[0].sockets[i]));
        CHECK(test::is_close_on_exec(*in.addresses[0].sockets[i]));
    }
    REQUIRE(in.workers.size() == 2);
    CHECK((in.workers[0].pid == 4711 && in.workers[0].index == 1));
    CHECK(in.workers[0].statistics_slot == 7U);
    CHECK(test::inode_of(in.workers[0].channel) == test::inode_of(channel.first));
    CHECK(test::is_close_on_exec(in.workers[0].channel));
    CHECK_FALSE(in.workers[0].is_draining);
    CHECK_FALSE(in.workers[1].statistics_slot.has_value());
    CHECK(in.workers[1].is_draining);
}

TEST_CASE("upgrade: a variable that is not ours is ignored, and not passed on", "[upgrade]") {
    const auto before = test::open_fds();
    const std::string value = GENERATE("", "7", "nonsense", "0,1", "3,999999");
    setenv(Variable, value.c_str(), 1);
    const auto state = taken();
    REQUIRE(state.has_value());
    CHECK_FALSE(state->has_value());
    CHECK(test::open_fds() == before);
}

TEST_CASE("upgrade: a state that is none is an error", "[upgrade]") {
    const auto [text, error] = GENERATE(
        std::pair<std::string, std::string>{R"({"version": 2})",
                                            "the state that was passed on is of another version"},
        std::pair<std::string, std::string>{"nonsense", "the state that was passed on is broken: "},
        std::pair<std::string, std::string>{"", "the state that was passed on is broken: "},
        std::pair<std::string, std::string>{R"({"version": 1})",
                                            "the state that was passed on is broken: "});
    UniqueFd file = file_of(text);
    set_variable(file);
    (void)file.release();
    const auto state = taken();
    REQUIRE_FALSE(state.has_value());
    CHECK(state.error().starts_with(error));
}
