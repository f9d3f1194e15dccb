// SPDX-License-Identifier: MIT
#include "base/daemon/channel.h"

#include "tests/support/fd_census.h"
#include "tests/unit/catch.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

using namespace proxyd;
using Json = nlohmann::json;

namespace {

// What one side has heard. It stops the loop when it has `wanted` messages, or at the end.
struct Ear final : Channel::Owner {
    explicit Ear(EventLoop& its_loop) : loop(its_loop) {}

    void on_message(Channel&, const Json& message, UniqueFd descriptor) override {
        messages.push_back(message);
        if (descriptor.is_open()) descriptors.push_back(std::move(descriptor));
        if (messages.size() == wanted) loop.stop();
    }
    void on_channel_end(Channel&) override {
        ends++;
        loop.stop();
    }

    EventLoop& loop;
    size_t wanted = 1;
    int ends = 0;
    std::vector<Json> messages;
    std::vector<UniqueFd> descriptors;
};

struct Ends {
    EventLoop loop;
    Ear ear{loop};
    std::pair<UniqueFd, UniqueFd> sockets = *Channel::make_pair();
};

// Two channels, as main and a worker have them.
struct Talk : Ends {
    Ear other_ear{loop};
    Channel here{loop, std::move(sockets.first), ear};
    std::optional<Channel> there{std::in_place, loop, std::move(sockets.second), other_ear};
};

// The other side is a bare socket, which may send what it likes.
struct Stranger : Ends {
    Channel here{loop, std::move(sockets.first), ear};

    void send(std::string_view bytes) {
        const int number = sockets.second.borrow().number();
        fcntl(number, F_SETFL, fcntl(number, F_GETFL) & ~O_NONBLOCK);
        REQUIRE(::send(number, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
                static_cast<ssize_t>(bytes.size()));
    }
};

UniqueFd some_file() {
    return UniqueFd::adopt(open("/dev/null", O_RDWR | O_CLOEXEC));
}

// With its quotes, braces and line feed it is `bytes` long: {"t":"xxx"}.
Json message_of(size_t bytes) {
    return {{"t", std::string(bytes - strlen("{\"t\":\"\"}\n"), 'x')}};
}

}  // namespace

TEST_CASE_METHOD(Talk, "channel: messages arrive in order, both ways", "[channel]") {
    for (int i = 0; i < 3; i++)
        CHECK(here.send({{"do", i}}));
    CHECK(there->send({{"is", "ready"}}));
    other_ear.wanted = 3;
    ear.wanted = 0;
    loop.run();
    here.receive_now();
    CHECK(other_ear.messages == std::vector<Json>{{{"do", 0}}, {{"do", 1}}, {{"do", 2}}});
    CHECK(ear.messages == std::vector<Json>{{{"is", "ready"}}});
}

TEST_CASE_METHOD(Talk, "channel: text that is no UTF-8 does no harm", "[channel]") {
    CHECK(here.send({{"name", "\xff\n\"\\"}}));
    loop.run();
    CHECK(other_ear.messages.at(0).at("name") == "\xef\xbf\xbd\n\"\\");
}

TEST_CASE_METHOD(Talk, "channel: a descriptor comes with its message", "[channel]") {
    const auto before = test::open_fds();
    const ino_t first = test::inode_of(sockets.first.is_open() ? sockets.first : here.socket());
    {
        UniqueFd pipe_ends[2];
        int numbers[2];
        REQUIRE(pipe2(numbers, O_CLOEXEC) == 0);
        for (int i = 0; i < 2; i++)
            pipe_ends[i] = UniqueFd::adopt(numbers[i]);
        const ino_t inode = test::inode_of(pipe_ends[0]);
        CHECK(inode != first);
        CHECK(here.send({{"plain", 1}}));
        CHECK(here.send({{"do", "access_log"}}, std::move(pipe_ends[0])));
        CHECK(here.send({{"plain", 2}}));
        other_ear.wanted = 3;
        loop.run();
        REQUIRE(other_ear.descriptors.size() == 1);
        CHECK(test::inode_of(other_ear.descriptors[0]) == inode);
        CHECK(test::is_close_on_exec(other_ear.descriptors[0]));
        CHECK(other_ear.messages.at(1).at("do") == "access_log");
        other_ear.descriptors.clear();
    }
    CHECK(test::open_fds() == before);
}

TEST_CASE_METHOD(Talk, "channel: the longest message passes, and one byte more is refused",
                 "[channel]") {
    CHECK_FALSE(here.send(message_of(Channel::MessageBytesMax + 1)));
    CHECK(here.pending_bytes() == 0);
    CHECK(here.send(message_of(Channel::MessageBytesMax)));
    CHECK(here.pending_bytes() > 0);  // a socket doesn't take so much at once
    loop.run();
    REQUIRE(other_ear.messages.size() == 1);
    CHECK(other_ear.messages[0] == message_of(Channel::MessageBytesMax));
    CHECK(here.pending_bytes() == 0);
}

TEST_CASE_METHOD(Talk, "channel: a side that reads nothing is waited for up to a bound",
                 "[channel]") {
    size_t sent = 0;
    while (here.send(message_of(Channel::MessageBytesMax)))
        sent++;
    CHECK(here.pending_bytes() <= Channel::PendingBytesMax);
    CHECK(sent >= Channel::PendingBytesMax / Channel::MessageBytesMax);
    other_ear.wanted = sent;
    loop.run();
    CHECK(other_ear.messages.size() == sent);
    CHECK(here.send({{"do", "go"}}));
    other_ear.wanted = sent + 1;
    loop.run();
    CHECK(other_ear.messages.back() == Json{{"do", "go"}});
}

TEST_CASE_METHOD(Talk, "channel: what was sent before the end arrives before it", "[channel]") {
    CHECK(there->send({{"is", "ended"}}));
    there.reset();
    ear.wanted = 0;
    loop.run();
    CHECK(ear.messages == std::vector<Json>{{{"is", "ended"}}});
    CHECK(ear.ends == 1);
    CHECK_FALSE(here.send({{"do", "go"}}));
    CHECK_FALSE(here.send({{"do", "access_log"}}, some_file()));
    here.receive_now();
    CHECK(ear.ends == 1);
}

TEST_CASE_METHOD(Talk, "channel: sending to a side that has gone harms nobody", "[channel]") {
    there.reset();
    here.send({{"do", "go"}});
    here.send({{"do", "drain"}});
    loop.run();
    CHECK(ear.ends == 1);
}

TEST_CASE_METHOD(Stranger, "channel: what is no message ends it", "[channel]") {
    const std::string_view garbage =
        GENERATE("\n", "nonsense\n", "[1]\n", "7\n", "{\"is\":\n", "{} {}\n",
                 "{\"is\":\"ready\"}\nnonsense\n{\"is\":\"pong\"}\n",
                 "{\"descriptor\":true}\n");  // that doesn't come with one
    send(garbage);
    ear.wanted = 0;
    loop.run();
    CHECK(ear.ends == 1);
    CHECK(ear.messages.size() == (garbage.starts_with("{\"is\":\"ready\"}") ? 1U : 0U));
}

TEST_CASE_METHOD(Stranger, "channel: a message may come in pieces", "[channel]") {
    for (const char c : std::string_view("{\"is\":\"ready\"}")) {
        send({&c, 1});
        here.receive_now();
    }
    CHECK(ear.messages.empty());
    send("\n");
    loop.run();
    CHECK(ear.messages == std::vector<Json>{{{"is", "ready"}}});
}

TEST_CASE_METHOD(Stranger, "channel: a line that never ends is not kept", "[channel]") {
    const std::string part(64 * 1024, ' ');
    for (size_t sent = 0; sent <= Channel::MessageBytesMax && ear.ends == 0; sent += part.size()) {
        send(part);
        here.receive_now();
    }
    CHECK(ear.ends == 1);
}

TEST_CASE("channel: descriptors that no message claims are not kept", "[channel]") {
    const auto before = test::open_fds();
    {
        Ends ends;
        Channel here(ends.loop, std::move(ends.sockets.first), ends.ear);
        for (int i = 0; i < 8 && ends.ear.ends == 0; i++) {
            const UniqueFd file = some_file();
            std::string bytes = "{}\n";
            iovec data{bytes.data(), bytes.size()};
            alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
            msghdr message{};
            message.msg_iov = &data;
            message.msg_iovlen = 1;
            message.msg_control = control;
            message.msg_controllen = sizeof(control);
            cmsghdr* const header = CMSG_FIRSTHDR(&message);
            header->cmsg_level = SOL_SOCKET;
            header->cmsg_type = SCM_RIGHTS;
            header->cmsg_len = CMSG_LEN(sizeof(int));
            const int number = file.borrow().number();
            memcpy(CMSG_DATA(header), &number, sizeof(number));
            REQUIRE(sendmsg(ends.sockets.second.borrow().number(), &message, MSG_NOSIGNAL) == 3);
            here.receive_now();
        }
        CHECK(ends.ear.ends == 1);
    }
    CHECK(test::open_fds() == before);
}
