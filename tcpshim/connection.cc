// SPDX-License-Identifier: MIT
#include "tcpshim/connection.h"

#include "tcpshim/closing_words.h"
#include "tcpshim/first_bytes.h"
#include "tcpshim/socket_options.h"

#include <errno.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <utility>

namespace proxyd::shim {
namespace {

constexpr uint32_t GoneEvents = EPOLLHUP | EPOLLERR;

// Good for timeouts, and costs next to nothing (clock_gettime(2), CLOCK_MONOTONIC_COARSE).
int64_t coarse_now_ms() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace

Connection::Connection(const ConnectionServices& services, Site& site, ReceivedConnection received,
                       uint16_t port)
    : services_(services),
      site_(site),
      client_(std::move(received.connection)),
      started_(Clock::now()),
      deadline_(services.loop, *this) {
    describe(received, port);
}

Connection::~Connection() = default;

// The texts are copied behind one another.
void Connection::describe(const ReceivedConnection& received, uint16_t port) {
    description_.edge_port = port;
    if (const auto header = decode_wire_header(received.payload_view())) {
        description_.source = header->source;
        description_.destination = header->destination;
        const size_t size = header->name.size() + header->alpn.size() + header->id.size();
        texts_ = std::make_unique_for_overwrite<char[]>(size);
        char* out = texts_.get();
        const auto keep = [&out](std::string_view text) {
            const std::string_view kept(out, text.size());
            out = std::copy(text.begin(), text.end(), out);
            return kept;
        };
        description_.name = keep(header->name);
        description_.alpn = keep(header->alpn);
        description_.id = keep(header->id);
    }
    if (description_.source.has_address()) return;
    if (const auto peer = SocketAddress::peer_of(client_)) description_.source = *peer;
    if (const auto local = SocketAddress::local_of(client_)) description_.destination = *local;
}

void Connection::begin() {
    set_user_timeout(client_, site_.configuration.user_timeout);
    if (!services_.poll.add(client_, *this, Side::Client)) return cut_off(Ending::Local);
    relay_.to_backend().note_drained();
    services_.poll.call_soon(*this);
}

void Connection::on_socket_events(Side side, uint32_t epoll_events) noexcept {
    relay_.on_events(side, epoll_events);
    switch (state_) {
        case State::New:
            return;  // its turn comes now
        case State::Connecting:
            if ((epoll_events & GoneEvents) != 0) finish(Ending::ClientReset);
            return;
        case State::FirstBytes:
            if (side == Side::Backend) return on_backend_in_first_bytes(epoll_events);
            if ((epoll_events & GoneEvents) != 0)
                return finish(Ending::ClientReset, Reset::Backend);
            return send_first_bytes();
        case State::Relaying:
            return relay();
        case State::Refusing:
            return drain_refused();
    }
}

void Connection::on_turn() noexcept {
    if (state_ == State::New)
        find_backend();
    else if (state_ == State::Relaying)
        relay();
}

void Connection::find_backend() {
    ClientHeaderBytes header;
    header_bytes_ = static_cast<uint32_t>(
        write_client_header(site_.configuration.proxy_protocol, description_, header));
    opening_bytes_.assign(header.begin(), header.begin() + header_bytes_);
    opening_.bytes = opening_bytes_;
    if (!read_first_bytes()) return finish(Ending::ClientReset);
    // One that has sent something is a connection.
    if (first_bytes().empty() && !is_tcp_connection(client_)) return cut_off(Ending::Local);
    if (services_.loops.is_own(description_.source, description_.destination)) return refuse_loop();
    connector_ = std::make_unique<Connector>(
        services_.loop, site_.group, description_, static_cast<Connector::Owner&>(*this),
        site_.configuration.is_transparent ? &description_.source : nullptr, &opening_);
    state_ = State::Connecting;
    connector_->start();
}

bool Connection::read_first_bytes() {
    RelayDirection& to_backend = relay_.to_backend();
    const size_t kept = first_bytes().size();
    if (!to_backend.may_read() || kept >= FirstBytesMax) return true;
    const auto room = services_.relay.buffer.first(FirstBytesMax - kept);
    to_backend.prepare_read(client_);
    const ssize_t size = recv(client_.borrow().number(), room.data(), room.size(), MSG_DONTWAIT);
    if (size < 0 && errno != EAGAIN) return false;
    const auto read_bytes = room.first(size > 0 ? static_cast<size_t>(size) : 0);
    if (read_bytes.size() < room.size() && !to_backend.has_urgent()) to_backend.note_drained();
    opening_bytes_.insert(opening_bytes_.end(), read_bytes.begin(), read_bytes.end());
    opening_.bytes = opening_bytes_;
    return true;
}

void Connection::on_connected(UniqueFd socket, BackendLease lease,
                              const SocketAddress& address) noexcept {
    backend_ = std::move(socket);
    lease_ = std::move(lease);
    was_backend_reset_ = false;
    backend_address_ = address;
    connect_us_ = microseconds_since_start();
    if (backend_address_.has_address())
        set_user_timeout(backend_, site_.configuration.user_timeout);
    services_.loops.note_connected(this, backend_, backend_address_);
    relay_.to_client().reset_source();
    if (opening_.sent > 0) relay_.to_backend().prepare_write(backend_);
    waits_for_backend_room_ = false;
    if (!services_.poll.add(backend_, *this, Side::Backend)) return cut_off(Ending::Local);
    state_ = State::FirstBytes;
    start_deadline();
    send_first_bytes();
}

// What the client has said since, too.
void Connection::send_first_bytes() {
    if (!read_first_bytes()) return finish(Ending::ClientReset, Reset::Backend);
    RelayDirection& to_backend = relay_.to_backend();
    if (const Bytes unsent = opening_.bytes.subspan(opening_.sent); !unsent.empty()) {
        to_backend.prepare_write(backend_);
        const ssize_t sent = send(backend_.borrow().number(), unsent.data(), unsent.size(),
                                  MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            was_backend_reset_ = true;
            return replace_backend();
        }
        if (sent > 0) opening_.sent += static_cast<size_t>(sent);
    }
    if (opening_.sent > header_bytes_ && first_to_backend_us_ < 0)
        first_to_backend_us_ = microseconds_since_start();
    const Bytes first = first_bytes();
    const bool ends = to_backend.has_hung_up() || to_backend.has_urgent() ||
                      relay_.to_client().may_read() || first.size() == FirstBytesMax ||
                      !is_harmless_to_repeat(first);
    if (opening_.sent < opening_.bytes.size()) wait_for_room(Side::Backend);
    if (ends && opening_.sent >= header_bytes_) settle();
}

void Connection::on_backend_in_first_bytes(uint32_t epoll_events) {
    constexpr uint32_t AnyEnd = GoneEvents | EPOLLRDHUP;
    if ((epoll_events & (EPOLLIN | EPOLLPRI | AnyEnd)) == 0) return send_first_bytes();
    if ((epoll_events & AnyEnd) != 0) {
        char byte;
        relay_.to_client().prepare_read(backend_);
        const ssize_t size = recv(backend_.borrow().number(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        if (size < 0) was_backend_reset_ = true;
        if (size < 0 || (size == 0 && !is_end_carried())) return replace_backend();
    }
    if (opening_.sent < header_bytes_) return send_first_bytes();
    settle();
}

// This backend is the last one: nothing is kept for another. What it hasn't taken yet goes first,
// through a pipe; if there is none now, it goes on as before.
void Connection::settle() {
    RelayDirection& to_backend = relay_.to_backend();
    const Bytes unsent = opening_.bytes.subspan(opening_.sent);
    if (!unsent.empty() && !to_backend.hold(services_.relay, unsent)) return;
    to_backend.add_bytes(opening_.sent - header_bytes_);
    opening_ = {};
    std::vector<uint8_t>().swap(opening_bytes_);
    header_bytes_ = 0;
    attempts_ = connector_->attempts();
    if (!connector_->failed().empty())
        failed_ = std::make_unique<const std::string>(connector_->failed());
    connector_.reset();
    state_ = State::Relaying;
    relay();
}

// Whether a backend that ends its half before it has said anything is relayed like any other: if
// there is nobody else for the client, and no way to tell it so. It may go on reading.
bool Connection::is_end_carried() const {
    return !may_replace_backend() ||
           (closing_words(recognise_client(first_bytes()), ConnectFailure::ClosedEarly).empty() &&
            !connector_->may_find_another());
}

bool Connection::may_replace_backend() const {
    return opening_.sent <= header_bytes_ || is_harmless_to_repeat(first_bytes());
}

void Connection::replace_backend() {
    if (!may_replace_backend()) return finish(Ending::BackendReset, Reset::Client);
    backend_.close();  // nobody else has it open: no event of it comes any more
    lease_ = BackendLease{};
    relay_.replace_backend();
    opening_.sent = 0;
    state_ = State::Connecting;
    connector_->next(ConnectFailure::ClosedEarly);
}

// Tells of it once and for all: where there is no room once there may be none again.
void Connection::wait_for_room(Side side) {
    bool& waits = side == Side::Client ? waits_for_client_room_ : waits_for_backend_room_;
    if (!waits) services_.poll.add_room(side == Side::Client ? client_ : backend_, *this, side);
    waits = true;
}

void Connection::relay() {
    const Relay::State state = relay_.advance(services_.relay, client_, backend_);
    note_activity();
    switch (state) {
        case Relay::State::Going:
            break;
        case Relay::State::More:
            services_.poll.call_again(*this);
            break;
        case Relay::State::Ended:
        case Relay::State::Broken:
            return end_relay(state);
    }
    if (relay_.to_client().waits_for_room()) wait_for_room(Side::Client);
    if (relay_.to_backend().waits_for_room()) wait_for_room(Side::Backend);
    if (relay_.is_half_closed() && !is_deadline_for_half_) start_deadline();
}

void Connection::note_activity() {
    const uint64_t bytes = relay_.to_backend().bytes() + relay_.to_client().bytes();
    if (bytes == bytes_at_last_activity_) return;
    bytes_at_last_activity_ = bytes;
    active_ms_ = coarse_now_ms();
    if (first_to_backend_us_ < 0 && relay_.to_backend().bytes() > 0)
        first_to_backend_us_ = microseconds_since_start();
    if (first_to_client_us_ < 0 && relay_.to_client().bytes() > 0) {
        first_to_client_us_ = microseconds_since_start();
        lease_.note_answered();
    }
}

// One timer for what a connection may wait for: keepalive is due once, and then, each time, only
// if nothing moved meanwhile.
void Connection::start_deadline() {
    is_deadline_for_half_ = relay_.is_half_closed();
    const SiteConfiguration& site = site_.configuration;
    const Milliseconds timeout =
        is_deadline_for_half_ ? site.half_closed_timeout : site.idle_timeout;
    Milliseconds due = timeout;
    if (!is_kept_alive_ && site.keepalive_after.count() > 0 &&
        (due.count() == 0 || site.keepalive_after < due))
        due = site.keepalive_after;
    active_ms_ = coarse_now_ms();
    if (due.count() > 0)
        deadline_.start(due);
    else
        deadline_.stop();
}

void Connection::on_deadline() noexcept {
    if (state_ == State::Refusing) return finish(Ending::NoBackend);
    const SiteConfiguration& site = site_.configuration;
    if (!is_kept_alive_) keep_alive();
    const Milliseconds timeout =
        is_deadline_for_half_ ? site.half_closed_timeout : site.idle_timeout;
    if (timeout.count() == 0) return;
    const Milliseconds passed{coarse_now_ms() - active_ms_};
    if (passed < timeout) return deadline_.start(timeout - passed + Milliseconds(1));
    cut_off(is_deadline_for_half_ ? Ending::HalfClosedTimeout : Ending::IdleTimeout);
}

// Not before a connection has lived for so long: most end earlier, and save the system calls.
void Connection::keep_alive() {
    is_kept_alive_ = true;
    const Milliseconds after = site_.configuration.keepalive_after;
    if (after.count() == 0) return;
    set_keepalive(client_, after);
    if (backend_.is_open() && backend_address_.has_address()) set_keepalive(backend_, after);
}

void Connection::on_no_backend(ConnectFailure failure) noexcept {
    failure_ = failure;
    refuse();
}

int64_t Connection::microseconds_since_start() const {
    return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - started_).count();
}

}  // namespace proxyd::shim
