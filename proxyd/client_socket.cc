// SPDX-License-Identifier: MIT
//
// Peeking leaves the bytes in the socket, so the socket stays readable, and a level-triggered wait
// spins. Therefore SO_RCVLOWAT is set to the number of bytes that are worth another look, and back
// to 1 before the socket leaves us: the option travels with it (measured; so does O_NONBLOCK, which
// is why the connection never gets it and every call says MSG_DONTWAIT).
#include "proxyd/client_socket.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <utility>

namespace proxyd {
namespace {

// A refused client may send this much until it has read the answer.
constexpr size_t DrainBytesMax = 1 << 20;
constexpr size_t DrainBytesPerCall = 64 * 1024;

}  // namespace

ClientSocket::ClientSocket(ClientPoll& poll, uint64_t key, UniqueFd connection)
    : poll_(poll), key_(key), connection_(std::move(connection)) {}

Result<Bytes, std::string_view> ClientSocket::peek(std::span<uint8_t> buffer,
                                                   uint32_t epoll_events) {
    const ssize_t size =
        recv(connection_.borrow().number(), buffer.data(), buffer.size(), MSG_PEEK | MSG_DONTWAIT);
    if (size < 0 && errno != EAGAIN && errno != EINTR)
        return Unexpected{std::string_view("client_reset")};
    if (size == 0) return Unexpected{std::string_view("client_closed")};
    const size_t bytes_seen_before =
        std::exchange(bytes_seen_, size < 0 ? 0 : static_cast<size_t>(size));
    was_woken_in_vain_ = (epoll_events & EPOLLIN) != 0 && bytes_seen_ <= bytes_seen_before;
    return Bytes(buffer).first(bytes_seen_);
}

// MSG_TRUNC on TCP: taken and thrown away without being copied (tcp(7)).
bool ClientSocket::take(size_t bytes) {
    bytes_seen_ = 0;
    const ssize_t size =
        recv(connection_.borrow().number(), nullptr, bytes, MSG_TRUNC | MSG_DONTWAIT);
    return size >= 0 && static_cast<size_t>(size) == bytes;
}

bool ClientSocket::drain() {
    const ssize_t size =
        recv(connection_.borrow().number(), nullptr, DrainBytesPerCall, MSG_TRUNC | MSG_DONTWAIT);
    if (size < 0) return errno == EAGAIN || errno == EINTR;
    bytes_drained_ += static_cast<size_t>(size);
    return size > 0 && bytes_drained_ <= DrainBytesMax;
}

void ClientSocket::send(std::string_view answer) {
    if (!answer.empty())
        (void)::send(connection_.borrow().number(), answer.data(), answer.size(),
                     MSG_DONTWAIT | MSG_NOSIGNAL);
}

void ClientSocket::end_sending() {
    shutdown(connection_.borrow().number(), SHUT_WR);
}

bool ClientSocket::watch(uint32_t events) {
    if (is_watched_)
        poll_.change(connection_, key_, events);
    else
        is_watched_ = poll_.add(connection_, key_, events).has_value();
    return is_watched_;
}

void ClientSocket::stop_watching() {
    if (is_watched_) poll_.remove(connection_);
    is_watched_ = false;
}

void ClientSocket::set_receive_low_water(size_t bytes) {
    if (receive_low_water_ == bytes) return;
    const int value = static_cast<int>(bytes);
    setsockopt(connection_.borrow().number(), SOL_SOCKET, SO_RCVLOWAT, &value, sizeof(value));
    receive_low_water_ = bytes;
}

void ClientSocket::restore() {
    stop_watching();
    set_receive_low_water(1);
}

}  // namespace proxyd
