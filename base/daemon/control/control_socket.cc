// SPDX-License-Identifier: MIT
#include "base/daemon/control/control_socket.h"

#include "base/daemon/log.h"

#include <errno.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>

namespace proxyd {
namespace {

constexpr int AcceptsPerWakeup = 16;
constexpr auto PauseTime = std::chrono::milliseconds(250);
// A client to which something is on its way, and that reads nothing for so long, is idle too.
constexpr auto StalledTime = std::chrono::seconds(5);

// Who may be closed to make room for another: those that expect nothing, or take nothing.
bool is_expendable(const ControlConnection& connection) {
    if (connection.is_done() || connection.is_abandoned()) return true;
    if (connection.has_output()) return Clock::now() - connection.quiet_since() >= StalledTime;
    return !connection.is_answering() && !connection.is_streaming();
}

}  // namespace

ControlSocket::ControlSocket(EventLoop& loop, Owner& owner)
    : loop_(loop),
      owner_(owner),
      readable_(loop, *this),
      pause_(loop, *this),
      before_wait_(loop, *this) {}

ControlSocket::~ControlSocket() = default;

void ControlSocket::listen_on(UniqueFd listening) {
    readable_.stop();
    pause_.stop();
    listening_ = std::move(listening);
    if (listening_.is_open()) readable_.start(listening_);
}

void ControlSocket::on_connection() noexcept {
    for (int i = 0; i < AcceptsPerWakeup; i++)
        if (!accept_one()) return;
}

// Whether there may be more.
bool ControlSocket::accept_one() {
    UniqueFd client = UniqueFd::adopt(
        accept4(listening_.borrow().number(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client.is_open()) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            readable_.stop();
            pause_.start(PauseTime);
        }
        return errno == EINTR || errno == ECONNABORTED;
    }
    if (connections_.size() >= ControlClientsMax && !make_room()) {
        // One line always finds room in a new socket.
        const std::string answer =
            control_error(fmt::format("{} clients are here already", ControlClientsMax)) + "\n";
        (void)!send(client.borrow().number(), answer.data(), answer.size(),
                    MSG_DONTWAIT | MSG_NOSIGNAL);
        return true;
    }
    add(std::move(client));
    return true;
}

void ControlSocket::on_pause_over() noexcept {
    readable_.start(listening_);
}

ControlConnection& ControlSocket::add(UniqueFd socket) {
    const uint64_t key = next_key_++;
    auto& place = connections_[key];
    place = std::make_unique<ControlConnection>(loop_, *this, key, std::move(socket));
    return *place;
}

bool ControlSocket::make_room() {
    auto oldest = connections_.end();
    for (auto i = connections_.begin(); i != connections_.end(); ++i)
        if (is_expendable(*i->second) && (oldest == connections_.end() ||
                                          i->second->quiet_since() < oldest->second->quiet_since()))
            oldest = i;
    if (oldest == connections_.end()) return false;
    oldest->second->close();
    connections_.erase(oldest);
    return true;
}

void ControlSocket::on_request(ControlConnection& connection, const nlohmann::json& request) {
    owner_.on_request(ControlReply(*this, connection), request);
}

void ControlSocket::on_done(ControlConnection&) {
    is_any_done_ = true;
}

// Connections end in the middle of their own callbacks, and are destroyed here.
void ControlSocket::on_before_wait() noexcept {
    if (!std::exchange(is_any_done_, false)) return;
    const bool had_streams = has_streams_;
    std::erase_if(connections_, [](const auto& entry) { return entry.second->is_done(); });
    has_streams_ = stream_count() > 0;
    if (had_streams && !has_streams_) owner_.on_last_stream_gone();
}

void ControlSocket::make_stream(ControlConnection& connection) {
    connection.become_stream();
    has_streams_ = true;
}

void ControlSocket::publish(std::string_view object) {
    if (!has_streams_) return owner_.on_last_stream_gone();  // it was gone before it became one
    for (const auto& [key, connection] : connections_)
        connection->add_event(object);
}

size_t ControlSocket::stream_count() const {
    return static_cast<size_t>(std::ranges::count_if(
        connections_, [](const auto& entry) { return entry.second->is_streaming(); }));
}

// What an unfinished line would do to the next process's lines, nobody wants to know.
std::vector<BorrowedFd> ControlSocket::streams() const {
    std::vector<BorrowedFd> streams;
    for (const auto& [key, connection] : connections_)
        if (connection->is_streaming() && !connection->has_output())
            streams.push_back(connection->socket());
    return streams;
}

std::vector<BorrowedFd> ControlSocket::idle_clients() const {
    std::vector<BorrowedFd> clients;
    for (const auto& [key, connection] : connections_)
        if (connection->is_idle()) clients.push_back(connection->socket());
    return clients;
}

void ControlSocket::adopt_stream(UniqueFd client) {
    make_stream(add(std::move(client)));
}

ControlReply ControlSocket::adopt(UniqueFd client) {
    ControlConnection& connection = add(std::move(client));
    connection.expect_answer();
    return {*this, connection};
}

}  // namespace proxyd
