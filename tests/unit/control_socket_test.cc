// SPDX-License-Identifier: MIT
#include "base/daemon/control/control_socket.h"

#include "base/daemon/socket_file.h"
#include "tests/support/fd_census.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/catch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

using namespace proxyd;
using nlohmann::json;

namespace {

// Answers as the request says: {"answer":N} with so many items at once, {"later":true} when
// told to, {"stream":true} never.
class Responder final : public ControlSocket::Owner {
  public:
    std::vector<ControlReply> later;
    int requests = 0;
    int streams_gone = 0;

  private:
    void on_request(const ControlReply& reply, const json& request) override {
        requests++;
        if (request.contains("later")) return later.push_back(reply);
        if (request.contains("stream")) return reply.stream();
        const size_t bytes = request.value("bytes", size_t{1});
        for (int i = 0; i < request.value("answer", 0); i++)
            reply.item({{"text", std::string(bytes, 'x')}});
        reply.done();
    }
    void on_last_stream_gone() override { streams_gone++; }
};

class Client {
  public:
    explicit Client(const std::string& path)
        : socket_(
              UniqueFd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0))) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        memcpy(address.sun_path, path.c_str(), path.size());
        is_connected_ =
            connect(number(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
    }

    bool is_connected() const { return is_connected_; }
    // How many bytes were taken.
    size_t send(std::string_view text) {
        const ssize_t size = ::send(number(), text.data(), text.size(), MSG_NOSIGNAL);
        return size < 0 ? 0 : static_cast<size_t>(size);
    }
    void end_sending() { shutdown(number(), SHUT_WR); }
    void close() { socket_.close(); }
    void receive() {
        char buffer[65536];
        for (;;) {
            const ssize_t size = recv(number(), buffer, sizeof(buffer), 0);
            if (size <= 0) {
                has_ended = has_ended || size == 0 || errno == ECONNRESET;
                return;
            }
            received.append(buffer, static_cast<size_t>(size));
        }
    }

    std::string received;
    bool has_ended = false;

  private:
    int number() const { return socket_.borrow().number(); }
    UniqueFd socket_;
    bool is_connected_ = false;
};

struct Bench {
    test::TemporaryDirectory directory;
    std::string path = directory.path() / "control.sock";
    EventLoop loop;
    Responder responder;
    ControlSocket control{loop, responder};

    Bench() { control.listen_on(*listen_at_socket_file(path, SocketFileGroup::Own)); }

    void round() { ev_run(loop.libev(), EVRUN_NOWAIT); }
    // All that happens without anybody else's doing.
    void settle(const std::vector<Client*>& readers = {}) {
        for (int i = 0; i < 200; i++) {
            round();
            for (Client* reader : readers)
                reader->receive();
        }
    }
    std::string answer(Client& client) {
        settle({&client});
        return std::exchange(client.received, "");
    }
};

std::string repeated(std::string_view text, int times) {
    std::string all;
    for (int i = 0; i < times; i++)
        all += text;
    return all;
}

}  // namespace

TEST_CASE("answers one request after the other", "[control_socket]") {
    Bench bench;
    Client client(bench.path);
    client.send("{\"answer\":2}\n{\"answer\":0}\n{\"ans");

    CHECK(
        bench.answer(client) ==
        "{\"item\":{\"text\":\"x\"}}\n{\"item\":{\"text\":\"x\"}}\n{\"ok\":true}\n{\"ok\":true}\n");
    client.send("wer\":1}\n");
    CHECK(bench.answer(client) == "{\"item\":{\"text\":\"x\"}}\n{\"ok\":true}\n");
}

TEST_CASE("a request waits for the answer of the one before", "[control_socket]") {
    Bench bench;
    Client client(bench.path);
    client.send("{\"later\":true}\n{\"answer\":0}\n");
    CHECK(bench.answer(client) == "");
    CHECK(bench.responder.requests == 1);

    const ControlReply reply = bench.responder.later.at(0);
    CHECK(reply.is_wanted());
    reply.fail("no", {"first", "second"});
    CHECK_FALSE(reply.is_wanted());
    reply.done();  // has no effect any more
    CHECK(bench.answer(client) ==
          "{\"ok\":false,\"error\":\"no\",\"details\":[\"first\",\"second\"]}\n{\"ok\":true}\n");
}

TEST_CASE("an answer may come when the client has gone", "[control_socket]") {
    Bench bench;
    Client client(bench.path);
    client.send("{\"later\":true}\n");
    bench.settle();
    client.close();
    bench.settle();

    const ControlReply reply = bench.responder.later.at(0);
    reply.item({{"a", 1}});
    reply.done();
    bench.settle();
    CHECK_FALSE(reply.is_wanted());
    CHECK_FALSE(reply.item({{"a", 1}}));
}

TEST_CASE("garbage is answered and does no harm", "[control_socket]") {
    const std::string error =
        "{\"ok\":false,\"error\":\"a request is one JSON object in one line, nested no deeper than "
        "32\"}\n";
    Bench bench;
    Client client(bench.path);
    client.send(std::string("\n[1]\n{\"a\":\n\xff\xfe\x00\n", 15));
    CHECK(bench.answer(client) == repeated(error, 4));

    client.send(std::string(60'000, '[') + "\n");
    CHECK(bench.answer(client) == error);
    client.send("{\"answer\":0}\n");
    CHECK(bench.answer(client) == "{\"ok\":true}\n");
}

TEST_CASE("a request may have 65536 bytes", "[control_socket]") {
    Bench bench;
    Client client(bench.path);
    const std::string request = "{\"answer\":0}";
    const std::string longest = request + std::string(65536 - request.size(), ' ');
    client.send(longest + "\n");
    CHECK(bench.answer(client) == "{\"ok\":true}\n");

    client.send(longest + " \n{\"answer\":0}\n");
    CHECK(bench.answer(client) ==
          "{\"ok\":false,\"error\":\"a request has more than 65536 bytes\"}\n");
    CHECK(client.has_ended);
}

TEST_CASE("a client that has ended its half gets its answers", "[control_socket]") {
    Bench bench;
    Client client(bench.path);
    client.send("{\"answer\":0}\n{\"later\":true}\n");
    client.end_sending();
    CHECK(bench.answer(client) == "{\"ok\":true}\n");
    CHECK_FALSE(client.has_ended);

    bench.responder.later.at(0).done();
    CHECK(bench.answer(client) == "{\"ok\":true}\n");
    CHECK(client.has_ended);
}

TEST_CASE("a last request without an end of line is an error", "[control_socket]") {
    Bench bench;
    Client client(bench.path);
    client.send("{\"answer\":0}");
    client.end_sending();
    CHECK(bench.answer(client) ==
          "{\"ok\":false,\"error\":\"the last request has no end of line\"}\n");
    CHECK(client.has_ended);
}

TEST_CASE("a client that reads nothing is not asked for more, and others are served",
          "[control_socket]") {
    Bench bench;
    Client deaf(bench.path), other(bench.path);
    // Each answer is 1 MiB, far more than the kernel keeps.
    deaf.send(repeated("{\"answer\":1,\"bytes\":1048576}\n", 100));
    bench.settle();
    CHECK(bench.responder.requests == 1);

    other.send("{\"answer\":0}\n");
    CHECK(bench.answer(other) == "{\"ok\":true}\n");
    for (int i = 0; i < 20; i++)
        bench.settle({&deaf});
    CHECK(bench.responder.requests == 101 + 0);
    CHECK(deaf.received.size() > 100 * 1048576u);
}

TEST_CASE("an answer that is too long ends with an error", "[control_socket]") {
    Bench bench;
    Client client(bench.path);
    client.send("{\"answer\":5,\"bytes\":1048576}\n");
    for (int i = 0; i < 5; i++)
        bench.settle({&client});
    CHECK(client.received.ends_with(
        "\n{\"ok\":false,\"error\":\"the answer has more than 4194304 bytes\"}\n"));
    client.received.clear();
    client.send("{\"answer\":0}\n");
    CHECK(bench.answer(client) == "{\"ok\":true}\n");
}

TEST_CASE("events go to all who take them", "[control_socket]") {
    Bench bench;
    Client first(bench.path), second(bench.path), none(bench.path);
    first.send("{\"stream\":true}\nwhat follows is ignored\n");
    second.send("{\"stream\":true}\n");
    bench.settle({&first, &second});
    CHECK(first.received.find("\"event\":\"subscribed\"") != std::string::npos);
    CHECK(bench.control.stream_count() == 2);
    first.received.clear();
    second.received.clear();

    bench.control.publish("{\"n\":1}");
    CHECK(bench.answer(first) == "{\"item\":{\"n\":1}}\n");
    CHECK(bench.answer(second) == "{\"item\":{\"n\":1}}\n");
    CHECK(bench.answer(none) == "");
    first.close();
    bench.settle();
    CHECK(bench.responder.streams_gone == 0);
    second.close();
    bench.settle();
    CHECK(bench.responder.streams_gone == 1);
}

TEST_CASE("events that find no room are counted", "[control_socket]") {
    Bench bench;
    Client client(bench.path);
    client.send("{\"stream\":true}\n");
    bench.answer(client);
    const std::string event = "{\"text\":\"" + std::string(1000, 'x') + "\"}";
    for (int i = 0; i < 2000; i++) {
        bench.control.publish(event);
        bench.round();
    }
    const std::string some = bench.answer(client);
    const size_t lost_at = some.find("{\"lost\":");
    REQUIRE(lost_at != std::string::npos);
    const json lost = json::parse(some.substr(lost_at, some.find('\n', lost_at) - lost_at));
    const std::string line = "{\"item\":" + event + "}\n";
    CHECK(lost_at == line.size() * (2000 - lost["lost"].get<size_t>()));

    bench.control.publish("{\"n\":1}");
    CHECK(bench.answer(client) == "{\"item\":{\"n\":1}}\n");
}

TEST_CASE("idle clients make room for others", "[control_socket]") {
    Bench bench;
    std::vector<std::unique_ptr<Client>> clients;
    for (size_t i = 0; i < ControlClientsMax; i++)
        clients.push_back(std::make_unique<Client>(bench.path));
    bench.settle();
    Client another(bench.path);
    another.send("{\"answer\":0}\n");

    CHECK(bench.answer(another) == "{\"ok\":true}\n");
    clients[0]->receive();
    CHECK(clients[0]->has_ended);
    clients[1]->receive();
    CHECK_FALSE(clients[1]->has_ended);
}

TEST_CASE("clients that wait for an answer are not sent away for another", "[control_socket]") {
    Bench bench;
    std::vector<std::unique_ptr<Client>> clients;
    for (size_t i = 0; i < ControlClientsMax; i++) {
        clients.push_back(std::make_unique<Client>(bench.path));
        clients.back()->send("{\"later\":true}\n");
    }
    bench.settle();
    Client another(bench.path);
    CHECK(bench.answer(another) == "{\"ok\":false,\"error\":\"32 clients are here already\"}\n");
    CHECK(another.has_ended);

    clients[0]->close();
    Client next(bench.path);
    next.send("{\"answer\":0}\n");
    CHECK(bench.answer(next) == "{\"ok\":true}\n");
}

TEST_CASE("clients can be carried over to another process's socket", "[control_socket]") {
    Bench bench;
    Client waiting(bench.path), stream(bench.path);
    waiting.send("{\"later\":true}\n");
    stream.send("{\"stream\":true}\n");
    bench.settle({&stream});
    stream.received.clear();
    REQUIRE(bench.control.streams().size() == 1);
    REQUIRE(bench.responder.later.at(0).client().has_value());
    const auto duplicate = [](BorrowedFd fd) { return UniqueFd::adopt(dup(fd.number())); };

    EventLoop loop;
    Responder responder;
    ControlSocket next(loop, responder);
    next.listen_on(duplicate(bench.control.listening()));
    next.adopt_stream(duplicate(bench.control.streams()[0]));
    const ControlReply reply = next.adopt(duplicate(*bench.responder.later[0].client()));
    bench.control.listen_on({});
    reply.done();
    next.publish("{\"n\":2}");
    Client another(bench.path);
    another.send("{\"answer\":0}\n");
    for (int i = 0; i < 10; i++)
        ev_run(loop.libev(), EVRUN_NOWAIT);
    for (Client* client : {&waiting, &stream, &another})
        client->receive();
    CHECK(waiting.received == "{\"ok\":true}\n");
    CHECK(stream.received == "{\"item\":{\"n\":2}}\n");
    CHECK(another.received == "{\"ok\":true}\n");
}

TEST_CASE("clients stay when the socket goes to another place", "[control_socket]") {
    Bench bench;
    Client client(bench.path);
    bench.settle();
    const std::string other = bench.directory.path() / "other.sock";
    bench.control.listen_on(*listen_at_socket_file(other, SocketFileGroup::Own));
    client.send("{\"answer\":0}\n");
    CHECK(bench.answer(client) == "{\"ok\":true}\n");
    CHECK_FALSE(Client(bench.path).is_connected());
    Client next(other);
    next.send("{\"answer\":0}\n");
    CHECK(bench.answer(next) == "{\"ok\":true}\n");
}

TEST_CASE("its file has mode 0660, whatever the umask", "[control_socket]") {
    const mode_t before = umask(0);
    Bench open_bench;
    umask(0777);
    Bench closed_bench;
    umask(before);
    for (const Bench* bench : {&open_bench, &closed_bench}) {
        struct stat status;
        REQUIRE(stat(bench->path.c_str(), &status) == 0);
        CHECK((status.st_mode & 07777) == 0660);
        size_t entries = 0;
        for ([[maybe_unused]] const auto& entry :
             std::filesystem::directory_iterator(bench->directory.path()))
            entries++;
        CHECK(entries == 1);
    }
}

TEST_CASE("a socket that nobody answers at is replaced, a live one is not", "[control_socket]") {
    const auto before = test::open_fds();
    {
        test::TemporaryDirectory directory;
        const std::string path = directory.path() / "control.sock";
        auto first = listen_at_socket_file(path, SocketFileGroup::Own);
        REQUIRE(first.has_value());
        CHECK(test::is_close_on_exec(*first));
        CHECK(listen_at_socket_file(path, SocketFileGroup::Own).error() ==
              "somebody answers there already");
        first->close();
        const auto second = listen_at_socket_file(path, SocketFileGroup::Own);
        REQUIRE(second.has_value());
        CHECK(Client(path).is_connected());
    }
    CHECK(test::open_fds() == before);
}

TEST_CASE("what keeps the socket from its place is told", "[control_socket]") {
    test::TemporaryDirectory directory;
    const std::string file = directory.path() / "file";
    (void)UniqueFd::adopt(open(file.c_str(), O_CREAT | O_CLOEXEC | O_WRONLY, 0600));
    CHECK(listen_at_socket_file(file, SocketFileGroup::Own).error() ==
          "something else than a socket is there");
    CHECK(listen_at_socket_file(directory.path() / "absent" / "c", SocketFileGroup::Own).error() ==
          "No such file or directory");
    CHECK(listen_at_socket_file(directory.path() / std::string(200, 'x'), SocketFileGroup::Own)
              .error() == "the file name is too long");
    CHECK(listen_at_socket_file(file + "/c", SocketFileGroup::Own).error() == "Not a directory");
}

TEST_CASE("a path longer than a socket's address works", "[control_socket]") {
    test::TemporaryDirectory directory;
    const auto deep = directory.path() / std::string(150, 'd');
    std::filesystem::create_directory(deep);
    const auto listening = listen_at_socket_file(deep / "control.sock", SocketFileGroup::Own);
    REQUIRE(listening.has_value());
    CHECK(std::filesystem::is_socket(deep / "control.sock"));
    remove_own_socket_file(deep / "control.sock");
    CHECK_FALSE(std::filesystem::exists(deep / "control.sock"));
}
