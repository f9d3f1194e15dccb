// SPDX-License-Identifier: MIT
#include "base/daemon/socket_file.h"
#include "proxyd/control_commands.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/catch.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

using namespace proxyd;
using Json = nlohmann::json;

namespace {

// main with two workers, which answer when the test says so.
class Fixture final : public ControlOperations {
  public:
    Fixture() : client_(UniqueFd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0))) {
        socket.listen_on(*listen_at_socket_file(path_, SocketFileGroup::Own));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        memcpy(address.sun_path, path_.c_str(), path_.size());
        REQUIRE(connect(client_.borrow().number(), reinterpret_cast<const sockaddr*>(&address),
                        sizeof(address)) == 0);
    }

    void ask(std::string_view request) {
        (void)!send(client_.borrow().number(), request.data(), request.size(), 0);
        settle();
    }
    std::string answer() {
        settle();
        char buffer[65536];
        const ssize_t size = recv(client_.borrow().number(), buffer, sizeof(buffer), 0);
        return size <= 0 ? "" : std::string(buffer, static_cast<size_t>(size));
    }
    void say(uint64_t worker, const char* message) {
        commands.on_worker_report(worker, Json::parse(message));
    }
    void leave() {
        client_.close();
        settle();
    }

    std::map<uint64_t, Json> sent;
    std::vector<uint64_t> living = {1, 2};
    bool is_deaf = false;

  private:
    void settle() {
        for (int i = 0; i < 20; i++)
            ev_run(loop_.libev(), EVRUN_NOWAIT);
    }
    void answer_status(const ControlReply& reply) override { reply.done(); }
    void answer_reload(const ControlReply& reply) override { reply.done(); }
    void answer_upgrade(const ControlReply& reply) override { reply.done(); }
    void answer_log_level(const std::optional<std::string>&, const ControlReply& reply) override {
        reply.done();
    }
    void answer_metrics(const ControlReply& reply) override { reply.done(); }
    std::vector<uint64_t> workers() override { return living; }
    bool send_to_worker(uint64_t worker, const Json& message) override {
        if (is_deaf) return false;
        sent[worker] = message;
        return true;
    }

    test::TemporaryDirectory directory_;
    std::string path_ = directory_.path() / "control.sock";
    EventLoop loop_;

  public:
    ControlCommands commands{loop_, *this};
    ControlSocket socket{loop_, commands};

  private:
    UniqueFd client_;
};

}  // namespace

TEST_CASE("what all workers say becomes one answer", "[report_collector]") {
    Fixture fixture;
    fixture.ask("{\"do\":\"sessions\",\"limit\":5}\n");
    CHECK(fixture.sent[1] ==
          Json::parse(R"({"do":"report","what":"sessions","id":1,"limit":5,"looks":true})"));
    CHECK(fixture.sent[2]["looks"] == false);
    fixture.say(1, R"({"report":1,"item":{"id":"a","age_ms":1}})");
    fixture.say(2, R"({"report":1,"item":{"id":"b","age_ms":2}})");
    fixture.say(2, R"({"report":1,"done":true,"omitted":4})");
    fixture.say(2, R"({"report":1,"item":{"id":"too late","age_ms":3}})");
    fixture.say(3, R"({"report":1,"done":true})");
    fixture.say(1, R"({"report":99,"done":true})");
    CHECK(fixture.answer() == "");
    fixture.say(1, R"({"report":1,"done":true})");
    CHECK(fixture.answer() ==
          "{\"item\":{\"age_ms\":2,\"id\":\"b\"}}\n{\"item\":{\"age_ms\":1,\"id\":\"a\"}}\n"
          "{\"ok\":true,\"omitted\":4}\n");
}

TEST_CASE("a worker that dies is left out", "[report_collector]") {
    Fixture fixture;
    fixture.ask("{\"do\":\"sessions\"}\n");
    fixture.say(1, R"({"report":1,"done":true})");
    fixture.commands.on_worker_gone(2);
    CHECK(fixture.answer() == "{\"ok\":true,\"workers_silent\":1}\n");
}

TEST_CASE("without any worker there is an error", "[report_collector]") {
    Fixture fixture;
    fixture.is_deaf = true;
    fixture.ask("{\"do\":\"sites\"}\n");
    CHECK(fixture.answer() == "{\"ok\":false,\"error\":\"no worker has answered\"}\n");
    fixture.living.clear();
    fixture.ask("{\"do\":\"routes\"}\n");
    CHECK(fixture.answer() == "{\"ok\":false,\"error\":\"no worker has answered\"}\n");
}

TEST_CASE("routes are asked of one worker", "[report_collector]") {
    Fixture fixture;
    fixture.ask("{\"do\":\"routes\",\"page\":\"7\",\"limit\":1000000}\n");
    CHECK(fixture.sent.size() == 1);
    CHECK(fixture.sent[1]["page"] == "7");
    CHECK(fixture.sent[1]["limit"] == 5000);
    fixture.say(1, R"({"report":1,"item":{"route":"a"}})");
    fixture.say(1, R"({"report":1,"done":true,"next":"8"})");
    CHECK(fixture.answer() == "{\"item\":{\"route\":\"a\"}}\n{\"ok\":true,\"next\":\"8\"}\n");
}

TEST_CASE("an error of a worker is the answer", "[report_collector]") {
    Fixture fixture;
    fixture.ask("{\"do\":\"explain\"}\n");
    fixture.say(1, R"({"report":1,"done":true,"error":"no"})");
    CHECK(fixture.answer() == "{\"ok\":false,\"error\":\"no\"}\n");
}

TEST_CASE("workers tell of sessions as long as somebody listens", "[report_collector]") {
    Fixture fixture;
    CHECK_FALSE(fixture.commands.wants_events());
    fixture.ask("{\"do\":\"events\"}\n");
    CHECK(fixture.commands.wants_events());
    CHECK(fixture.sent[2]["what"] == "events");
    CHECK(fixture.answer() == "");
    fixture.say(1, R"({"report":1,"done":true})");
    fixture.say(2, R"({"report":1,"done":true})");
    CHECK(fixture.answer().find("\"subscribed\"") != std::string::npos);
    fixture.socket.publish(ControlCommands::worker_event(
        Json::parse(R"({"event":{"event":"session","client":"x"}})")));
    CHECK(fixture.answer() == "{\"item\":{\"client\":\"x\",\"event\":\"session\"}}\n");
    fixture.leave();
    CHECK_FALSE(fixture.commands.wants_events());
    CHECK(fixture.sent[2] == Json{{"do", "events"}, {"on", false}});
}

TEST_CASE("a worker can't tell of what isn't its affair", "[report_collector]") {
    CHECK(ControlCommands::worker_event(Json::parse(R"({"event":{"event":"reload"}})")) == "");
    CHECK(ControlCommands::worker_event(Json::parse(R"({"event":7})")) == "");
    CHECK(ControlCommands::worker_event(Json::parse(R"({"event":{"event":1}})")) == "");
}
