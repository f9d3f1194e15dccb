// SPDX-License-Identifier: MIT
#include "proxyd/control_desk.h"

#include "base/daemon/socket_file.h"
#include "tests/support/fd_census.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/catch.h"

#include <nlohmann/json.hpp>

using namespace proxyd;

namespace {

class Owner final : public ControlDesk::Owner {
  public:
    void reload(Done) override {}
    void upgrade(Done) override {}
    std::string metrics_text() override { return ""; }
    std::vector<std::string> warnings() override { return {}; }
    StatusReport status_report() override { return {}; }
    const std::vector<std::unique_ptr<WorkerProcess>>& worker_processes() override {
        return workers_;
    }
    bool is_serving(const WorkerProcess&) override { return false; }

  private:
    std::vector<std::unique_ptr<WorkerProcess>> workers_;
};

// A desk that wants a place which another process, so to speak, has.
struct Fixture {
    test::TemporaryDirectory directory;
    std::string path = directory.path() / "control.sock";
    Result<UniqueFd, std::string> other = listen_at_socket_file(path, SocketFileGroup::Own);
    EventLoop loop;
    Owner owner;
    ControlDesk desk{loop, owner};
    Configuration configuration;

    Fixture() {
        REQUIRE(other.has_value());
        configuration.daemon.control = path;
    }
    void put_in_force() {
        REQUIRE(desk.open_next(configuration).empty());
        desk.put_next_in_force(configuration);
    }
    bool is_taken() {
        const auto again = listen_at_socket_file(path, SocketFileGroup::Own);
        return !again && again.error() == SocketFileTaken;
    }
    void end_other() {
        remove_own_socket_file(path);
        other = UniqueFd();
        REQUIRE_FALSE(std::filesystem::exists(path));
    }
    // One of its timer's ends, if it is running.
    void run_once() { ev_run(loop.libev(), EVRUN_ONCE); }
};

struct Deadline {
    EventLoop& loop;
    void on_late() noexcept { loop.stop(); }
    TimerWatcher<&Deadline::on_late> timer{loop, *this};
};

}  // namespace

TEST_CASE("control_desk: tries again while another process has its place", "[control_desk]") {
    const auto before = test::open_fds();
    {
        Fixture f;
        f.put_in_force();
        f.run_once();
        CHECK(f.is_taken());
        f.end_other();
        f.run_once();
        CHECK(f.is_taken());
        f.desk.close();
        CHECK_FALSE(std::filesystem::exists(f.path));
    }
    CHECK(test::open_fds() == before);
}

TEST_CASE("control_desk: a reload takes the place before the next try", "[control_desk]") {
    Fixture f;
    f.put_in_force();
    f.end_other();
    f.put_in_force();
    CHECK(f.is_taken());
    f.desk.close();
}

TEST_CASE("control_desk: does not try again for a configuration without a control socket",
          "[control_desk]") {
    Fixture f;
    f.put_in_force();
    f.configuration.daemon.control = "none";
    f.put_in_force();
    f.end_other();
    Deadline deadline{f.loop};
    deadline.timer.start(std::chrono::milliseconds(1100));
    f.loop.run();
    CHECK_FALSE(std::filesystem::exists(f.path));
}

TEST_CASE("control_desk: a place that was asked for by name must be free", "[control_desk]") {
    Fixture f;
    f.configuration.daemon.control_place = "a.json:3: control";
    CHECK(f.desk.open_next(f.configuration) ==
          Problems{"a.json:3: control: cannot listen at " + f.path +
                   ": somebody answers there already"});
}
