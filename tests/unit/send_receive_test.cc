// SPDX-License-Identifier: MIT
//
// Both halves of the handoff contract against each other, over real sockets.
#include "base/handoff/receive.h"
#include "base/handoff/send.h"
#include "base/handoff/site_socket.h"
#include "tests/support/client_hello_builder.h"
#include "tests/support/fd_census.h"
#include "tests/support/tcp_pair.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/catch.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <string>
#include <vector>

namespace proxyd {
namespace {

using test::Buffer;
using test::bytes_of;
using test::inode_of;
using test::tcp_pair;
using test::TcpPair;
using test::TemporaryDirectory;

constexpr int Flags = MSG_CMSG_CLOEXEC | MSG_DONTWAIT;
constexpr int DeadlineMs = 5000;

// A receiver's socket in a directory of its own.
struct Site {
    TemporaryDirectory directory;
    UniqueFd receiver = UniqueFd::adopt(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));

    Site() {
        REQUIRE(
            bind_site_socket(receiver, directory.fd(), directory.path().string() + "/", {443, {}}));
    }
    UniqueFd file() const { return test::open_path(directory.path() / "443.sock"); }
    UniqueFd sender() const {
        Result<UniqueFd> sender = connect_sender(file());
        REQUIRE(sender);
        return *std::move(sender);
    }
};

// A datagram with any descriptors, as a sender would make it that doesn't keep to the contract.
void send_garbage(BorrowedFd sender, const Buffer& payload, const std::vector<int>& fds) {
    iovec data{const_cast<uint8_t*>(payload.data()), payload.size()};
    std::vector<size_t> control(CMSG_SPACE(fds.size() * sizeof(int)) / sizeof(size_t) + 1);
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    if (!fds.empty()) {
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
        cmsghdr* const rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
        std::copy(fds.begin(), fds.end(), reinterpret_cast<int*>(CMSG_DATA(rights)));
    }
    REQUIRE(sendmsg(sender.number(), &message, MSG_DONTWAIT) ==
            static_cast<ssize_t>(payload.size()));
}

ReceiveOutcome receive(const Site& site, ReceivedConnection& received) {
    return receive_connection(site.receiver, Flags, received);
}

ReceiveOutcome receive_and_drop(const Site& site) {
    ReceivedConnection received;
    return receive(site, received);
}

bool is_ready(BorrowedFd fd, short events, int timeout_ms) {
    pollfd query{fd.number(), events, 0};
    return poll(&query, 1, timeout_ms) == 1 && (query.revents & events) != 0;
}

// Sends until the queue is full; how many went.
size_t fill_queue(BorrowedFd sender, BorrowedFd connection) {
    size_t sent = 0;
    Result<void> result;
    while ((result = send_connection(sender, connection, bytes_of("x"))))
        sent++;
    REQUIRE(result.error() == Errno{EAGAIN});
    return sent;
}

TEST_CASE("hands over the very socket, with its payload", "[send_receive]") {
    const Site site;
    const auto before = test::open_fds();
    {
        const UniqueFd sender = site.sender();
        TcpPair pair = tcp_pair();
        const ino_t inode = inode_of(pair.accepted);
        REQUIRE(send_connection(sender, pair.accepted, bytes_of("payload")));
        CHECK(pair.accepted.is_open());
        pair.accepted.close();

        ReceivedConnection received;
        REQUIRE(receive(site, received) == ReceiveOutcome::Connection);
        CHECK(inode_of(received.connection) == inode);
        CHECK(std::ranges::equal(received.payload_view(), bytes_of("payload")));
        CHECK(*SocketAddress::peer_of(received.connection) ==
              *SocketAddress::local_of(pair.client));
        REQUIRE(send(received.connection.borrow().number(), "hello", 5, MSG_NOSIGNAL) == 5);
        char text[6] = {};
        REQUIRE(is_ready(pair.client, POLLIN, DeadlineMs));
        CHECK(recv(pair.client.borrow().number(), text, sizeof(text), 0) == 5);
        CHECK(std::string(text) == "hello");
    }
    CHECK(test::open_fds() == before);
}

TEST_CASE("what was peeked at is still there for the receiver", "[send_receive]") {
    const Site site;
    const TcpPair pair = tcp_pair();
    REQUIRE(send(pair.client.borrow().number(), "first", 5, MSG_NOSIGNAL) == 5);
    REQUIRE(is_ready(pair.accepted, POLLIN, DeadlineMs));
    char text[6] = {};
    REQUIRE(recv(pair.accepted.borrow().number(), text, 5, MSG_PEEK) == 5);
    REQUIRE(send_connection(site.sender(), pair.accepted, bytes_of("x")));

    ReceivedConnection received;
    REQUIRE(receive(site, received) == ReceiveOutcome::Connection);
    CHECK(recv(received.connection.borrow().number(), text, 5, MSG_DONTWAIT) == 5);
    CHECK(std::string(text) == "first");
}

TEST_CASE("the received socket is blocking, and close-on-exec as asked", "[send_receive]") {
    const Site site;
    const UniqueFd sender = site.sender();
    const TcpPair pair = tcp_pair();
    REQUIRE(send_connection(sender, pair.accepted, bytes_of("x")));
    REQUIRE(send_connection(sender, pair.accepted, bytes_of("x")));
    ReceivedConnection closing, staying;
    REQUIRE(receive_connection(site.receiver, Flags, closing) == ReceiveOutcome::Connection);
    REQUIRE(receive_connection(site.receiver, MSG_DONTWAIT, staying) == ReceiveOutcome::Connection);
    CHECK(test::is_blocking(closing.connection));
    CHECK(test::is_close_on_exec(closing.connection));
    CHECK_FALSE(test::is_close_on_exec(staying.connection));
}

TEST_CASE("connections arrive in their order, each with its payload", "[send_receive]") {
    const Site site;
    const UniqueFd sender = site.sender(), other_sender = site.sender();
    const TcpPair first = tcp_pair(), second = tcp_pair(AF_INET6);
    REQUIRE(send_connection(sender, first.accepted, bytes_of("one")));
    REQUIRE(send_connection(other_sender, second.accepted, bytes_of("other")));
    ReceivedConnection received;
    REQUIRE(receive(site, received) == ReceiveOutcome::Connection);
    CHECK(inode_of(received.connection) == inode_of(first.accepted));
    CHECK(received.payload_bytes == 3);
    REQUIRE(receive(site, received) == ReceiveOutcome::Connection);
    CHECK(inode_of(received.connection) == inode_of(second.accepted));
    CHECK(std::ranges::equal(received.payload_view(), bytes_of("other")));
}

TEST_CASE("any payload will do: none, one byte, the longest, and one cut at it", "[send_receive]") {
    const Site site;
    const UniqueFd sender = site.sender();
    const TcpPair pair = tcp_pair();
    for (const size_t size : {size_t{0}, size_t{1}, WireHeaderBytesMax, WireHeaderBytesMax + 1}) {
        REQUIRE(send_connection(sender, pair.accepted, Buffer(size, 'p')));
        ReceivedConnection received;
        REQUIRE(receive(site, received) == ReceiveOutcome::Connection);
        CHECK(received.payload_bytes == std::min(size, WireHeaderBytesMax));
    }
}

TEST_CASE("a connection whose client is gone is still one", "[send_receive]") {
    const Site site;
    TcpPair pair = tcp_pair();
    const linger reset{1, 0};
    REQUIRE(setsockopt(pair.client.borrow().number(), SOL_SOCKET, SO_LINGER, &reset,
                       sizeof(reset)) == 0);
    pair.client.close();
    REQUIRE(is_ready(pair.accepted, POLLHUP, DeadlineMs));
    REQUIRE(send_connection(site.sender(), pair.accepted, bytes_of("x")));
    ReceivedConnection received;
    CHECK(receive(site, received) == ReceiveOutcome::Connection);
    CHECK(SocketAddress::peer_of(received.connection).error() == Errno{ENOTCONN});
}

TEST_CASE("garbage is closed, and the next connection still comes", "[send_receive]") {
    const Site site;
    const UniqueFd sender = site.sender(), listener = test::tcp_listener();
    const TcpPair pair = tcp_pair();
    int pipe_fds[2];
    REQUIRE(pipe2(pipe_fds, O_CLOEXEC) == 0);
    const UniqueFd reader = UniqueFd::adopt(pipe_fds[0]), writer = UniqueFd::adopt(pipe_fds[1]);
    const auto before = test::open_fds();

    send_garbage(sender, {}, {});
    send_garbage(sender, bytes_of("no descriptor"), {});
    send_garbage(sender, bytes_of("a pipe"), {pipe_fds[0]});
    send_garbage(sender, {}, {pipe_fds[0], pipe_fds[1]});
    send_garbage(sender, bytes_of("a listener"), {listener.borrow().number()});
    send_garbage(sender, bytes_of("a Unix socket"), {sender.borrow().number()});
    REQUIRE(send_connection(sender, pair.accepted, bytes_of("x")));
    for (int i = 0; i < 6; i++)
        CHECK(receive_and_drop(site) == ReceiveOutcome::NotOne);
    CHECK(test::open_fds() == before);
    CHECK(receive_and_drop(site) == ReceiveOutcome::Connection);
    CHECK(test::open_fds() == before);
}

TEST_CASE("whoever finds out what it is gets anything that came", "[send_receive]") {
    const Site site;
    const UniqueFd sender = site.sender();
    const TcpPair pair = tcp_pair();
    send_garbage(sender, bytes_of("no descriptor"), {});
    send_garbage(sender, bytes_of("a Unix socket"), {sender.borrow().number()});
    REQUIRE(send_connection(sender, pair.accepted, bytes_of("x")));
    ReceivedConnection received;
    const auto receive_anything = [&] {
        return receive_connection(site.receiver, Flags, received, ReceivedKind::Anything);
    };
    CHECK(receive_anything() == ReceiveOutcome::NotOne);
    REQUIRE(receive_anything() == ReceiveOutcome::Connection);
    CHECK_FALSE(is_tcp_connection(received.connection));
    REQUIRE(receive_anything() == ReceiveOutcome::Connection);
    CHECK(is_tcp_connection(received.connection));
    CHECK_FALSE(is_tcp_connection(test::tcp_listener()));
}

TEST_CASE("garbage leaves what was received before as it was", "[send_receive]") {
    const Site site;
    const UniqueFd sender = site.sender();
    const TcpPair pair = tcp_pair();
    REQUIRE(send_connection(sender, pair.accepted, bytes_of("good")));
    ReceivedConnection received;
    REQUIRE(receive(site, received) == ReceiveOutcome::Connection);
    send_garbage(sender, {}, {});
    CHECK(receive(site, received) == ReceiveOutcome::NotOne);
    CHECK(received.connection.is_open());
    CHECK(received.payload_bytes == 4);
}

TEST_CASE("of several descriptors the first counts, and no other is kept", "[send_receive]") {
    const Site site;
    const UniqueFd sender = site.sender();
    const TcpPair pair = tcp_pair();
    const auto before = test::open_fds();
    for (const size_t count : {2u, 253u}) {
        std::vector<int> fds(count, pair.client.borrow().number());
        fds[0] = pair.accepted.borrow().number();
        send_garbage(sender, bytes_of("x"), fds);
        {
            ReceivedConnection received;
            REQUIRE(receive(site, received) == ReceiveOutcome::Connection);
            CHECK(inode_of(received.connection) == inode_of(pair.accepted));
            CHECK(test::open_fds().size() == before.size() + 1);
        }
        CHECK(test::open_fds() == before);
    }
}

TEST_CASE("an empty queue is a failure that errno explains", "[send_receive]") {
    const Site site;
    CHECK(receive_and_drop(site) == ReceiveOutcome::Failed);
    CHECK(errno == EAGAIN);
}

TEST_CASE("success and garbage keep errno", "[send_receive]") {
    const Site site;
    const UniqueFd sender = site.sender();
    const TcpPair pair = tcp_pair();
    REQUIRE(send_connection(sender, pair.accepted, bytes_of("x")));
    send_garbage(sender, bytes_of("x"), {sender.borrow().number()});
    errno = ENOTUNIQ;
    ReceivedConnection received;
    const ReceiveOutcome first = receive(site, received), second = receive(site, received);
    const int errno_after = errno;
    CHECK(first == ReceiveOutcome::Connection);
    CHECK(second == ReceiveOutcome::NotOne);
    CHECK(errno_after == ENOTUNIQ);
}

TEST_CASE("shutdown ends receiving, an empty datagram doesn't", "[send_receive]") {
    const Site site;
    const UniqueFd sender = site.sender();
    send_garbage(sender, {}, {});
    CHECK(receive_and_drop(site) == ReceiveOutcome::NotOne);
    REQUIRE(shutdown(site.receiver.borrow().number(), SHUT_RD) == 0);
    ReceivedConnection received;
    CHECK(receive_connection(site.receiver, 0, received) == ReceiveOutcome::ShutDown);
    CHECK(receive_connection(site.receiver, 0, received) == ReceiveOutcome::ShutDown);
}

// recvmsg(2) answers EAGAIN there, while epoll goes on to call the socket readable: who takes that
// for "nothing yet" spins.
TEST_CASE("shutdown ends receiving for those who don't wait, too", "[send_receive]") {
    const Site site;
    REQUIRE(shutdown(site.receiver.borrow().number(), SHUT_RD) == 0);
    CHECK(receive_and_drop(site) == ReceiveOutcome::ShutDown);
    CHECK(receive_and_drop(site) == ReceiveOutcome::ShutDown);
}

TEST_CASE("what was queued before shutdown is received first", "[send_receive]") {
    const Site site;
    const TcpPair pair = tcp_pair();
    REQUIRE(send_connection(site.sender(), pair.accepted, bytes_of("x")));
    REQUIRE(shutdown(site.receiver.borrow().number(), SHUT_RD) == 0);
    ReceivedConnection received;
    CHECK(receive_connection(site.receiver, 0, received) == ReceiveOutcome::Connection);
    CHECK(receive_connection(site.receiver, 0, received) == ReceiveOutcome::ShutDown);
}

TEST_CASE("a full queue says so at once, and has room when one is taken", "[send_receive]") {
    const Site site;
    const UniqueFd sender = site.sender();
    const TcpPair pair = tcp_pair();
    CHECK(fill_queue(sender, pair.accepted) >= 1);
    CHECK_FALSE(is_ready(sender, POLLOUT, 0));
    CHECK(receive_and_drop(site) == ReceiveOutcome::Connection);
    CHECK(is_ready(sender, POLLOUT, DeadlineMs));
    CHECK(send_connection(sender, pair.accepted, bytes_of("x")));
    CHECK(send_connection(sender, pair.accepted, bytes_of("x")).error() == Errno{EAGAIN});
}

TEST_CASE("a sender learns that its receiver is gone", "[send_receive]") {
    Site site;
    const UniqueFd sender = site.sender();
    const TcpPair pair = tcp_pair();
    REQUIRE(send_connection(sender, pair.accepted, bytes_of("x")));
    site.receiver.close();
    CHECK(send_connection(sender, pair.accepted, bytes_of("x")).error() == Errno{ECONNREFUSED});
}

TEST_CASE("a sender that waits for room learns that its receiver is gone", "[send_receive]") {
    Site site;
    const UniqueFd sender = site.sender();
    const TcpPair pair = tcp_pair();
    fill_queue(sender, pair.accepted);
    site.receiver.close();
    CHECK(is_ready(sender, POLLOUT, DeadlineMs));
    CHECK(send_connection(sender, pair.accepted, bytes_of("x")).error() == Errno{ECONNREFUSED});
}

TEST_CASE("what is queued dies with the receiver's last descriptor", "[send_receive]") {
    Site site;
    TcpPair pair = tcp_pair();
    REQUIRE(send_connection(site.sender(), pair.accepted, bytes_of("x")));
    pair.accepted.close();
    UniqueFd keeper = UniqueFd::adopt(fcntl(site.receiver.borrow().number(), F_DUPFD_CLOEXEC, 0));
    site.receiver = UniqueFd();
    CHECK_FALSE(is_ready(pair.client, POLLIN, 0));
    keeper.close();
    CHECK(is_ready(pair.client, POLLIN, DeadlineMs));
}

TEST_CASE("connects to live datagram sockets only", "[send_receive]") {
    Site site;
    const auto before = test::open_fds();
    const UniqueFd file = site.file();
    site.receiver.close();
    CHECK(connect_sender(file).error() == Errno{ECONNREFUSED});
    CHECK(connect_sender(site.directory.fd()).error() == Errno{ECONNREFUSED});

    const UniqueFd stream = UniqueFd::adopt(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(bind_site_socket(stream, site.directory.fd(), site.directory.path().string() + "/",
                             {80, {}}));
    REQUIRE(listen(stream.borrow().number(), 1) == 0);
    const UniqueFd stream_file = test::open_path(site.directory.path() / "80.sock");
    CHECK(connect_sender(stream_file).error() == Errno{EPROTOTYPE});
}

TEST_CASE("a sender is close-on-exec and never blocks", "[send_receive]") {
    const Site site;
    const UniqueFd sender = site.sender();
    CHECK(test::is_close_on_exec(sender));
    CHECK_FALSE(test::is_blocking(sender));
}

TEST_CASE("a sender goes on serving the socket that it found when another takes its name",
          "[send_receive]") {
    const Site site;
    const UniqueFd sender = site.sender();
    const UniqueFd newcomer = UniqueFd::adopt(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    REQUIRE(bind_site_socket(newcomer, site.directory.fd(), site.directory.path().string() + "/",
                             {443, {}}));
    const TcpPair pair = tcp_pair();
    REQUIRE(send_connection(sender, pair.accepted, bytes_of("x")));
    REQUIRE(send_connection(site.sender(), pair.accepted, bytes_of("x")));
    CHECK(receive_and_drop(site) == ReceiveOutcome::Connection);
    ReceivedConnection received;
    CHECK(receive_connection(newcomer, Flags, received) == ReceiveOutcome::Connection);
}

// What the child found; it can't use the test framework.
enum ChildVerdict { AsExpected = 0, NotTruncated = 1, Leaked = 2, LostForGood = 3 };

// In a child, since the limit on descriptors would hit the test framework as well.
int receive_with_full_table(const Site& site) {
    const rlimit limit{64, 64};
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return NotTruncated;
    std::vector<UniqueFd> fillers;
    UniqueFd filler;
    while ((filler = UniqueFd::adopt(dup(site.receiver.borrow().number()))).is_open())
        fillers.push_back(std::move(filler));

    ReceivedConnection received;
    if (receive(site, received) != ReceiveOutcome::NotOne) return NotTruncated;
    fillers.pop_back();
    if (!UniqueFd::adopt(dup(site.receiver.borrow().number())).is_open()) return Leaked;
    if (receive(site, received) != ReceiveOutcome::Connection) return LostForGood;
    return AsExpected;
}

TEST_CASE("with a full descriptor table one connection is lost, nothing leaks, and the next comes",
          "[send_receive]") {
    const Site site;
    const UniqueFd sender = site.sender();
    TcpPair lost = tcp_pair();
    const TcpPair next = tcp_pair();
    REQUIRE(send_connection(sender, lost.accepted, bytes_of("x")));
    REQUIRE(send_connection(sender, next.accepted, bytes_of("x")));
    lost.accepted.close();

    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) _exit(receive_with_full_table(site));
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == AsExpected);
    CHECK(is_ready(lost.client, POLLIN, DeadlineMs));
}

}  // namespace
}  // namespace proxyd
