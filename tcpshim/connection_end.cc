// SPDX-License-Identifier: MIT
//
// How a connection ends: in order, cut off, or turned away with words of the client's protocol.
#include "base/daemon/log.h"
#include "tcpshim/closing_words.h"
#include "tcpshim/connection.h"
#include "tcpshim/first_bytes.h"
#include "tcpshim/socket_options.h"

#include <errno.h>
#include <sys/socket.h>

#include <utility>

namespace proxyd::shim {
namespace {

// A rejected client has so long to take its answer, and may send so much meanwhile.
constexpr Milliseconds RefusalTime{2'000};
constexpr uint64_t RefusedBytesMax = 1 << 20;

}  // namespace

void Connection::end_relay(Relay::State how) {
    if (how == Relay::State::Ended)
        return finish(relay_.first_to_end() == Side::Client ? Ending::ClientClosed
                                                            : Ending::BackendClosed);
    const int error = relay_.error();
    const bool is_lost = error == ETIMEDOUT || error == EHOSTUNREACH || error == ENETUNREACH;
    if (relay_.broken_side() == Side::Client)
        return finish(is_lost ? Ending::ClientLost : Ending::ClientReset, Reset::Backend);
    finish(is_lost ? Ending::BackendLost : Ending::BackendReset, Reset::Client);
}

// One round of an endless chain, which whoever began it learns through all that there are.
void Connection::refuse_loop() {
    if (!std::exchange(site_.is_loop_told, true)) {
        SocketAddress::Text text;
        log_warning(
            "site {}: a connection to {} has come back as a client: a backend's address leads to "
            "proxyd itself",
            site_.configuration.name, description_.destination.format(text));
    }
    failure_ = ConnectFailure::Loop;
    refuse();
}

// The answer must arrive: unread input would turn the close into a reset that destroys it.
void Connection::refuse() {
    state_ = State::Refusing;
    const auto buffer = services_.relay.buffer;
    Bytes first = first_bytes();
    if (first.empty()) {
        const ssize_t size =
            recv(client_.borrow().number(), buffer.data(), buffer.size(), MSG_PEEK | MSG_DONTWAIT);
        first = Bytes(buffer).first(size > 0 ? static_cast<size_t>(size) : 0);
    }
    const std::string words = closing_words(recognise_client(first), failure_);
    // What the last backend did is all that there is to say.
    if (words.empty() && failure_ == ConnectFailure::ClosedEarly && was_backend_reset_)
        return finish(Ending::NoBackend, Reset::Client);
    if (!words.empty())
        send(client_.borrow().number(), words.data(), words.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(client_.borrow().number(), SHUT_WR);
    deadline_.start(RefusalTime);
    drain_refused();
}

void Connection::drain_refused() {
    const auto buffer = services_.relay.buffer;
    while (true) {
        const ssize_t size =
            recv(client_.borrow().number(), buffer.data(), buffer.size(), MSG_TRUNC | MSG_DONTWAIT);
        if (size < 0 && errno == EAGAIN) return;
        bytes_at_last_activity_ += size > 0 ? static_cast<uint64_t>(size) : 0;
        if (size <= 0 || bytes_at_last_activity_ > RefusedBytesMax)
            return finish(Ending::NoBackend);
    }
}

void Connection::end_now(Ending ending) {
    cut_off(ending);
}

// An end in order would make a part look like the whole: only who has got all that the other one
// said, its end included, gets one.
void Connection::cut_off(Ending ending) {
    if (state_ == State::Refusing || relay_.to_client().is_over())
        return finish(ending, relay_.to_backend().is_over() ? Reset::Nobody : Reset::Backend);
    finish(ending, relay_.to_backend().is_over() ? Reset::Client : Reset::Both);
}

void Connection::finish(Ending ending, Reset reset) {
    const ConnectionRecord its_record = record(ending);  // has views into the connector
    relay_.abandon(services_.relay.pipes);
    services_.poll.forget(*this);
    services_.loops.forget(this);
    if (reset == Reset::Client || reset == Reset::Both) reset_at_close(client_);
    if ((reset == Reset::Backend || reset == Reset::Both) && backend_.is_open())
        reset_at_close(backend_);
    services_.closing.add(std::move(client_));
    if (backend_.is_open()) services_.closing.add(std::move(backend_));
    services_.owner.on_connection_end(*this, its_record);
}

ConnectionRecord Connection::record(Ending ending) const {
    return {.site = site_.configuration.name,
            .port = description_.edge_port,
            .client = description_.source,
            .destination = description_.destination,
            .name = description_.name,
            .id = description_.id,
            .backend = lease_.is_held() ? std::string_view(lease_.backend().text())
                       : connector_     ? connector_->last_tried()
                                        : std::string_view(),
            .backend_address = backend_address_,
            .attempts = connector_ ? connector_->attempts() : attempts_,
            .failed = connector_ ? std::string_view(connector_->failed())
                      : failed_  ? std::string_view(*failed_)
                                 : std::string_view(),
            .bytes_to_backend = relay_.to_backend().bytes(),
            .bytes_to_client = relay_.to_client().bytes(),
            .connect_us = connect_us_,
            .first_to_backend_us = first_to_backend_us_,
            .first_to_client_us = first_to_client_us_,
            .total_us = microseconds_since_start(),
            .ending = ending,
            .failure = failure_};
}

}  // namespace proxyd::shim
