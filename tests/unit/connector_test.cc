// SPDX-License-Identifier: MIT
#include "tcpshim/connector.h"

#include "tests/support/fd_census.h"
#include "tests/support/loop_runner.h"
#include "tests/support/tcp_pair.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/catch.h"

#include <fmt/format.h>
#include <sys/un.h>

#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

using namespace proxyd;
using namespace proxyd::shim;
using namespace std::chrono_literals;

namespace {

uint16_t port_of(const UniqueFd& listener) {
    return SocketAddress::local_of(listener)->port();
}

uint16_t port_of_nobody() {
    return port_of(test::tcp_listener());
}

BackendConfiguration tcp_backend(uint16_t port) {
    BackendConfiguration backend;
    backend.text = fmt::format("127.0.0.1:{}", port);
    backend.host = "127.0.0.1";
    backend.port = port;
    return backend;
}

BackendConfiguration unix_backend(const std::string& path) {
    BackendConfiguration backend;
    backend.text = "unix:" + path;
    backend.kind = BackendKind::UnixStream;
    backend.host = path;
    return backend;
}

UniqueFd unix_listener(const std::string& path, int backlog) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    REQUIRE(path.size() < sizeof(address.sun_path));
    memcpy(address.sun_path, path.data(), path.size());
    UniqueFd fd = UniqueFd::adopt(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(bind(fd.borrow().number(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) ==
            0);
    REQUIRE(listen(fd.borrow().number(), backlog) == 0);
    return fd;
}

// What the next connection begins with.
std::string said_to(const UniqueFd& listener) {
    const UniqueFd accepted =
        UniqueFd::adopt(accept4(listener.borrow().number(), nullptr, nullptr, SOCK_CLOEXEC));
    std::array<char, 100> buffer;
    const ssize_t size = recv(accepted.borrow().number(), buffer.data(), buffer.size(), 0);
    REQUIRE(size >= 0);
    return {buffer.data(), static_cast<size_t>(size)};
}

struct Site {
    explicit Site(std::vector<BackendConfiguration> backends, Balance balance = Balance::RoundRobin)
        : resolver(*Resolver::create(loop, {}, "/nonexistent")) {
        configuration.name = "test";
        configuration.backends = std::move(backends);
        configuration.balance = balance;
    }

    BackendGroup& group() {
        if (!group_) group_.emplace(loop, *resolver, poll, configuration);
        return *group_;
    }
    Backend& backend(size_t index) { return *group().backends()[index]; }

    EventLoop loop;
    ConnectPoll poll{loop};
    SiteConfiguration configuration;
    std::unique_ptr<Resolver> resolver;
    std::optional<BackendGroup> group_;
};

struct Client final : Connector::Owner {
    explicit Client(Site& its_site, std::string_view source = "192.0.2.1", uint16_t edge_port = 443,
                    Opening* opening = nullptr)
        : site(its_site) {
        description.source = *SocketAddress::parse_host(source, 50'000);
        description.edge_port = edge_port;
        connector.emplace(site.loop, site.group(), description,
                          static_cast<Connector::Owner&>(*this), nullptr, opening);
    }

    // Which backend it has, or the word for why none.
    std::string start() {
        connector->start();
        return wait();
    }
    std::string next(ConnectFailure why) {
        socket.close();
        lease.release();
        result.clear();
        connector->next(why);
        return wait();
    }
    std::string wait() {
        CHECK(test::run_until(site.loop, [&] { return !result.empty(); }));
        return result;
    }

    void on_connected(UniqueFd its_socket, BackendLease its_lease,
                      const SocketAddress& its_address) noexcept override {
        socket = std::move(its_socket);
        lease = std::move(its_lease);
        address = its_address;
        result = lease.backend().text();
    }
    void on_no_backend(ConnectFailure failure) noexcept override {
        result = connect_failure_word(failure);
    }

    Site& site;
    ClientDescription description;
    std::optional<Connector> connector;
    std::string result;
    UniqueFd socket;
    BackendLease lease;
    SocketAddress address;
};

}  // namespace

TEST_CASE("connector: clients take turns at the backends", "[connector]") {
    const auto before = test::open_fds();
    {
        const UniqueFd one = test::tcp_listener(), two = test::tcp_listener();
        Site site({tcp_backend(port_of(one)), tcp_backend(port_of(two))});
        Client first(site), second(site), third(site);
        CHECK(first.start() == site.configuration.backends[0].text);
        CHECK(second.start() == site.configuration.backends[1].text);
        CHECK(third.start() == site.configuration.backends[0].text);
        CHECK(first.address == *SocketAddress::local_of(one));
        CHECK(first.connector->attempts() == 1);
        CHECK(site.backend(0).connections() == 2);
        first.lease.release();
        CHECK(site.backend(0).connections() == 1);
    }
    CHECK(test::open_fds() == before);
}

TEST_CASE("connector: goes on with the next backend when one refuses", "[connector]") {
    const UniqueFd listener = test::tcp_listener();
    Site site({tcp_backend(port_of_nobody()), tcp_backend(port_of_nobody()),
               tcp_backend(port_of(listener))});
    Client client(site);
    CHECK(client.start() == site.configuration.backends[2].text);
    CHECK(client.connector->attempts() == 3);
    CHECK(site.backend(0).counters().failed[static_cast<size_t>(ConnectFailure::Refused)] == 1);
    CHECK(site.backend(0).connections() == 0);
}

TEST_CASE("connector: what is said first goes with the connecting, to the backend that is reached",
          "[connector]") {
    const UniqueFd one = test::tcp_listener(), two = test::tcp_listener();
    Site site(
        {tcp_backend(port_of_nobody()), tcp_backend(port_of(one)), tcp_backend(port_of(two))});
    constexpr std::array<uint8_t, 5> Hello = {'h', 'e', 'l', 'l', 'o'};
    Opening opening{Hello};
    Client client(site, "192.0.2.1", 443, &opening);
    CHECK(client.start() == site.configuration.backends[1].text);
    CHECK(opening.sent == 5);
    CHECK(said_to(one) == "hello");
    opening.sent = 0;
    CHECK(client.next(ConnectFailure::ClosedEarly) == site.configuration.backends[2].text);
    CHECK(opening.sent == 5);
    CHECK(said_to(two) == "hello");
}

TEST_CASE("connector: nothing is sent where there is nothing to say", "[connector]") {
    const UniqueFd listener = test::tcp_listener();
    Site site({tcp_backend(port_of(listener))});
    Opening opening;
    Client client(site, "192.0.2.1", 443, &opening);
    CHECK(client.start() == site.configuration.backends[0].text);
    CHECK(opening.sent == 0);
}

TEST_CASE("connector: tells the cause when no backend is left", "[connector]") {
    const auto before = test::open_fds();
    {
        Site site({tcp_backend(port_of_nobody()), unix_backend("/nonexistent/socket")});
        Client client(site);
        CHECK(client.start() == "unreachable");
        CHECK(client.connector->attempts() == 2);
    }
    CHECK(test::open_fds() == before);
}

TEST_CASE("connector: gives another backend for one that closes early, and none twice",
          "[connector]") {
    const UniqueFd one = test::tcp_listener(), two = test::tcp_listener();
    Site site({tcp_backend(port_of(one)), tcp_backend(port_of(two))});
    Client client(site);
    CHECK(client.start() == site.configuration.backends[0].text);
    CHECK(client.next(ConnectFailure::ClosedEarly) == site.configuration.backends[1].text);
    CHECK(client.connector->attempts() == 2);
    CHECK(client.next(ConnectFailure::ClosedEarly) == "closed_early");
    CHECK(site.backend(1).connections() == 0);
}

TEST_CASE("connector: a client whose bytes nobody answers has no backend left out", "[connector]") {
    const UniqueFd one = test::tcp_listener(), two = test::tcp_listener();
    Site site({tcp_backend(port_of(one)), tcp_backend(port_of(two))});
    site.configuration.failures_max = 1;
    Client client(site);
    CHECK(client.start() == site.configuration.backends[0].text);
    CHECK(client.next(ConnectFailure::ClosedEarly) == site.configuration.backends[1].text);
    CHECK(client.next(ConnectFailure::ClosedEarly) == "closed_early");
    for (const auto& backend : site.group().backends()) {
        CHECK(backend->state(Clock::now()) == BackendState::Up);
        CHECK(backend->counters().failed[static_cast<size_t>(ConnectFailure::ClosedEarly)] == 1);
    }
}

TEST_CASE("connector: a client from an address that can't be answered has no backend left out",
          "[connector]") {
    Site site({tcp_backend(1)});
    site.configuration.failures_max = 1;
    site.configuration.is_transparent = true;
    site.backend(0).note_failed(ConnectFailure::TimedOut, Clock::now());
    site.backend(0).note_failed(ConnectFailure::Unreachable, Clock::now());
    CHECK(site.backend(0).state(Clock::now()) == BackendState::Up);
    site.backend(0).note_failed(ConnectFailure::Refused, Clock::now());
    CHECK(site.backend(0).state(Clock::now()) == BackendState::Paused);
}

TEST_CASE("connector: a client at a port that the host doesn't serve has it left out for no other",
          "[connector]") {
    BackendConfiguration without_port = tcp_backend(0);
    Site site({without_port});
    site.configuration.failures_max = 1;
    site.configuration.ports = {80, 443};
    Client client(site, "192.0.2.1", port_of_nobody());
    CHECK(client.start() == "refused");
    CHECK(site.backend(0).state(Clock::now()) == BackendState::Up);
    CHECK(site.backend(0).counters().failed[static_cast<size_t>(ConnectFailure::Refused)] == 1);
}

TEST_CASE("connector: leaves out a backend that failed so often, until a client was connected",
          "[connector]") {
    const UniqueFd listener = test::tcp_listener();
    Site site({tcp_backend(port_of_nobody()), tcp_backend(port_of(listener))});
    site.configuration.failures_max = 1;
    Client first(site), second(site);
    CHECK(first.start() == site.configuration.backends[1].text);
    CHECK(first.connector->attempts() == 2);
    CHECK(site.backend(0).state(Clock::now()) == BackendState::Paused);
    CHECK(site.backend(0).state(site.backend(0).health().pause_until()) == BackendState::OnTrial);
    CHECK(second.start() == site.configuration.backends[1].text);
    CHECK(second.connector->attempts() == 1);
    site.backend(0).note_connected();
    CHECK(site.backend(0).state(Clock::now()) == BackendState::Up);
}

TEST_CASE("connector: a backend that is left out is better than none", "[connector]") {
    const UniqueFd listener = test::tcp_listener();
    Site site({tcp_backend(port_of(listener))});
    site.configuration.failures_max = 1;
    Client client(site);
    site.backend(0).note_failed(ConnectFailure::Refused, Clock::now());
    CHECK(site.backend(0).state(Clock::now()) == BackendState::Paused);
    CHECK(client.start() == site.configuration.backends[0].text);
    CHECK(site.backend(0).state(Clock::now()) == BackendState::Up);
}

TEST_CASE("connector: what this machine lacks is not the backend's fault", "[connector]") {
    Site site({tcp_backend(1)});
    site.configuration.failures_max = 1;
    site.backend(0).note_failed(ConnectFailure::Local, Clock::now());
    CHECK(site.backend(0).state(Clock::now()) == BackendState::Up);
}

TEST_CASE("connector: a backup has clients only while no other one is up", "[connector]") {
    const UniqueFd one = test::tcp_listener(), two = test::tcp_listener();
    auto backup = tcp_backend(port_of(two));
    backup.is_backup = true;
    Site site({backup, tcp_backend(port_of(one))});
    site.configuration.failures_max = 1;
    Client first(site), second(site), third(site);
    CHECK(first.start() == site.configuration.backends[1].text);
    CHECK(second.start() == site.configuration.backends[1].text);
    site.backend(1).note_failed(ConnectFailure::Refused, Clock::now());
    CHECK(third.start() == backup.text);
}

TEST_CASE("connector: waits for room at a backend that is full, first come first served",
          "[connector]") {
    const auto before = test::open_fds();
    {
        const UniqueFd listener = test::tcp_listener();
        auto backend = tcp_backend(port_of(listener));
        backend.connections_max = 2;
        Site site({backend});
        Client one(site), two(site), three(site), four(site);
        CHECK(one.start() == backend.text);
        CHECK(two.start() == backend.text);
        three.connector->start();
        four.connector->start();
        CHECK(three.result.empty());
        two.lease.release();
        CHECK(three.wait() == backend.text);
        CHECK(four.result.empty());
        CHECK(site.backend(0).connections() == 2);
        one.lease.release();
        CHECK(four.wait() == backend.text);
    }
    CHECK(test::open_fds() == before);
}

TEST_CASE("connector: waits for room no longer than the site lets it", "[connector]") {
    const UniqueFd listener = test::tcp_listener();
    auto backend = tcp_backend(port_of(listener));
    backend.connections_max = 1;
    Site site({backend});
    site.configuration.backend_wait = 20ms;
    Client one(site), two(site), three(site);
    CHECK(one.start() == backend.text);
    CHECK(two.start() == "full");
    CHECK(two.connector->attempts() == 0);
    three.connector->start();
    three.connector.reset();  // the client has gone
    CHECK(one.next(ConnectFailure::ClosedEarly) == "closed_early");
}

TEST_CASE("connector: a Unix socket whose backlog is full is tried again", "[connector]") {
    const auto before = test::open_fds();
    {
        const test::TemporaryDirectory directory;
        const std::string path = directory.path() / "app.sock";
        const UniqueFd listener = unix_listener(path, 0);
        Site site({unix_backend(path)});
        Client first(site), second(site);
        CHECK(first.start() == "unix:" + path);
        CHECK_FALSE(first.address.has_address());
        CHECK_FALSE(test::is_blocking(first.socket));
        second.connector->start();
        CHECK(second.result.empty());
        const UniqueFd accepted =
            UniqueFd::adopt(accept4(listener.borrow().number(), nullptr, nullptr, SOCK_CLOEXEC));
        CHECK(second.wait() == "unix:" + path);
    }
    CHECK(test::open_fds() == before);
}

TEST_CASE("connector: a Unix socket whose backlog stays full times out", "[connector]") {
    const test::TemporaryDirectory directory;
    const std::string path = directory.path() / "app.sock";
    const UniqueFd listener = unix_listener(path, 0);
    Site site({unix_backend(path)});
    site.configuration.connect_timeout = 30ms;
    Client first(site), second(site);
    CHECK(first.start() == "unix:" + path);
    CHECK(second.start() == "timed_out");
}

TEST_CASE("connector: a backend without a port has the client's", "[connector]") {
    const UniqueFd listener = test::tcp_listener();
    BackendConfiguration backend = tcp_backend(0);
    Site site({backend});
    Client client(site, "192.0.2.1", port_of(listener));
    CHECK(client.start() == backend.text);
    CHECK(client.address == *SocketAddress::local_of(listener));
}

TEST_CASE("connector: a source stays with its backend, and goes elsewhere when that is down",
          "[connector]") {
    const UniqueFd one = test::tcp_listener(), two = test::tcp_listener();
    Site site({tcp_backend(port_of(one)), tcp_backend(port_of(two))}, Balance::SourceHash);
    site.configuration.failures_max = 1;
    Client first(site), second(site), third(site), fourth(site);
    const std::string its_backend = first.start();
    CHECK(second.start() == its_backend);
    const size_t index = its_backend == site.configuration.backends[0].text ? 0 : 1;
    site.backend(index).note_failed(ConnectFailure::Refused, Clock::now());
    CHECK(third.start() == site.configuration.backends[1 - index].text);
    site.backend(index).note_connected();
    CHECK(fourth.start() == its_backend);
}

TEST_CASE("connector: none is up when checks say so, whatever clients say", "[connector]") {
    UniqueFd listener = test::tcp_listener();
    const uint16_t port = port_of(listener);
    listener.close();
    Site site({tcp_backend(port)});
    site.configuration.check.kind = CheckKind::Connect;
    site.configuration.check.interval = 1ms;
    REQUIRE(test::run_until(
        site.loop, [&] { return site.backend(0).state(Clock::now()) == BackendState::Down; }));
    Client client(site);
    CHECK(client.start() == "none_up");
    CHECK(client.connector->attempts() == 0);
    site.backend(0).note_connected();
    CHECK(site.backend(0).state(Clock::now()) == BackendState::Down);
    CHECK(site.backend(0).last_check() == "connection refused");
}

TEST_CASE("connector: good checks end a pause, and leave the backend on trial", "[connector]") {
    const UniqueFd listener = test::tcp_listener();
    Site site({tcp_backend(port_of(listener))});
    site.configuration.failures_max = 1;
    site.configuration.failure_pause = 1h;
    site.configuration.failure_pause_max = 1h;
    site.configuration.check.kind = CheckKind::Connect;
    site.configuration.check.interval = 1ms;
    site.backend(0).note_failed(ConnectFailure::Refused, Clock::now());
    CHECK(site.backend(0).state(Clock::now()) == BackendState::Paused);
    CHECK(test::run_until(
        site.loop, [&] { return site.backend(0).state(Clock::now()) == BackendState::OnTrial; }));
}

TEST_CASE("connector: its words are those of the access log", "[connector]") {
    std::string words;
    for (size_t i = 0; i < ConnectFailureCount; i++)
        words += fmt::format("{} ", connect_failure_word(static_cast<ConnectFailure>(i)));
    CHECK(words ==
          "refused unreachable timed_out not_resolved closed_early full none_up local loop ");
}
