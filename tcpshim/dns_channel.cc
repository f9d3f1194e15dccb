// SPDX-License-Identifier: MIT
#include "tcpshim/dns_channel.h"

#include <ares.h>
#include <fmt/format.h>
#include <netdb.h>
#include <sys/time.h>

#include <algorithm>
#include <cassert>
#include <utility>

namespace proxyd::shim {

// Lives from ask() until c-ares has called back, which it always does, whether or not somebody
// still wants to know.
struct DnsChannel::Question::Pending {
    DnsChannel& channel;
    Question* question;  // nullptr: forgotten
    Asker& asker;
    DnsType type;
};

void DnsChannel::Question::forget() {
    if (pending_ != nullptr) std::exchange(pending_, nullptr)->question = nullptr;
}

struct DnsChannel::Socket {
    Socket(EventLoop& loop, DnsChannel& its_channel)
        : channel(its_channel), readable(loop, *this), writable(loop, *this) {}

    void on_readable() noexcept { channel.process(fd, ARES_SOCKET_BAD); }
    void on_writable() noexcept { channel.process(ARES_SOCKET_BAD, fd); }

    DnsChannel& channel;
    int fd = -1;
    ReadWatcher<&Socket::on_readable> readable;
    WriteWatcher<&Socket::on_writable> writable;
};

DnsChannel::DnsChannel(EventLoop& loop) : loop_(loop), timer_(loop, *this) {}

Result<std::unique_ptr<DnsChannel>, std::string> DnsChannel::create(
    EventLoop& loop, const std::vector<std::string>& servers) {
    std::unique_ptr<DnsChannel> self(new DnsChannel(loop));
    std::string lookups = "b";  // name servers alone: "f" would open /etc/hosts each time
    ares_options options{};
    options.flags = ARES_FLAG_NOALIASES;
    options.timeout = TimeoutMs;
    options.tries = TriesMax;
    options.lookups = lookups.data();
    options.sock_state_cb = &on_socket_state;
    options.sock_state_cb_data = self.get();
    int status = ares_library_init(ARES_LIB_INIT_ALL);
    if (status == ARES_SUCCESS)
        status = ares_init_options(&self->channel_, &options,
                                   ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                                       ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB);
    if (status != ARES_SUCCESS) {
        self->channel_ = nullptr;
        return Unexpected{fmt::format("the resolver can't be started: {}", ares_strerror(status))};
    }
    if (servers.empty()) return self;
    const std::string list = fmt::format("{}", fmt::join(servers, ","));
    status = ares_set_servers_ports_csv(self->channel_, list.c_str());
    if (status != ARES_SUCCESS)
        return Unexpected{
            fmt::format("\"{}\" can't be used as resolvers: {}", list, ares_strerror(status))};
    return self;
}

DnsChannel::~DnsChannel() {
    // Calls on_answer for what is still asked; nobody may be told any more.
    if (channel_ != nullptr) ares_destroy(channel_);
    ares_library_cleanup();
}

void DnsChannel::ask(Question& question, const std::string& name, DnsType type, Asker& asker) {
    assert(!question.is_asked());
    auto* pending = new Question::Pending{*this, &question, asker, type};
    question.pending_ = pending;
    const auto call = type == DnsType::Service ? &ares_query : &ares_search;
    call(channel_, name.c_str(), /*class IN*/ 1, static_cast<int>(type), &on_answer, pending);
    restart_timer();
}

void DnsChannel::on_answer(void* argument, int status, int, unsigned char* message, int bytes) {
    const std::unique_ptr<Question::Pending> pending(static_cast<Question::Pending*>(argument));
    if (pending->question == nullptr) return;
    pending->question->pending_ = nullptr;
    if (status == ARES_EDESTRUCTION) return;

    if (status == ARES_ENOTFOUND || status == ARES_ENODATA)
        return pending->asker.on_dns_reply(DnsOutcome::Missing, {}, {});
    if (status != ARES_SUCCESS)
        return pending->asker.on_dns_reply(DnsOutcome::Failed, {}, ares_strerror(status));
    std::optional<DnsRecords> records =
        read_dns_answer(Bytes(message, static_cast<size_t>(bytes)), pending->type);
    if (!records)
        return pending->asker.on_dns_reply(DnsOutcome::Failed, {}, "the answer is malformed");
    const DnsOutcome outcome = records->empty() ? DnsOutcome::Missing : DnsOutcome::Found;
    pending->asker.on_dns_reply(outcome, std::move(*records), {});
}

void DnsChannel::on_socket_state(void* argument, int fd, int wants_read, int wants_write) {
    auto& self = *static_cast<DnsChannel*>(argument);
    auto found =
        std::ranges::find(self.sockets_, fd, [](const auto& socket) { return socket->fd; });
    if (found == self.sockets_.end())
        found = std::ranges::find(self.sockets_, -1, [](const auto& socket) { return socket->fd; });
    if (found == self.sockets_.end())
        found = self.sockets_.insert(found, std::make_unique<Socket>(self.loop_, self));
    Socket& socket = **found;
    // Stopped even if it is going to be started again: the number may be another socket by now.
    socket.readable.stop();
    socket.writable.stop();
    socket.fd = wants_read != 0 || wants_write != 0 ? fd : -1;
    if (wants_read != 0) socket.readable.start(BorrowedFd(fd));
    if (wants_write != 0) socket.writable.start(BorrowedFd(fd));
}

void DnsChannel::process(int readable, int writable) {
    ares_process_fd(channel_, readable, writable);
    restart_timer();
}

void DnsChannel::restart_timer() {
    timeval buffer{};
    const timeval* next = ares_timeout(channel_, nullptr, &buffer);
    if (next == nullptr) return timer_.stop();
    // A little later than told: c-ares looks at whole milliseconds, and would find nothing to do.
    timer_.start(std::chrono::seconds(next->tv_sec) + std::chrono::microseconds(next->tv_usec) +
                 std::chrono::milliseconds(1));
}

void DnsChannel::on_timer() noexcept {
    process(ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

}  // namespace proxyd::shim
