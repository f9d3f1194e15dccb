// SPDX-License-Identifier: MIT
#include "tcpshim/connection.h"

#include "tcpshim/closing_words.h"
#include "tcpshim/first_bytes.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>

namespace proxyd::shim {
namespace {

// A rejected client has so long to take its answer, and may send so much meanwhile.
constexpr Milliseconds RefusalTime{2'000};
constexpr uint64_t RefusedBytesMax = 1 << 20;
constexpr uint32_t GoneEvents = EPOLLHUP | EPOLLERR;

// Good for timeouts, and costs next to nothing (clock_gettime(2), CLOCK_MONOTONIC_COARSE).
int64_t coarse_now_ms() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

void set_option(BorrowedFd socket, int level, int name, int value) {
    setsockopt(socket.number(), level, name, &value, sizeof(value));
}

// close(2) sends a reset from now on, and what is not sent yet is dropped.
void reset_at_close(BorrowedFd socket) {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    setsockopt(socket.number(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

void set_user_timeout(BorrowedFd socket, Milliseconds timeout) {
    if (timeout.count() > 0)
        set_option(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(timeout.count()));
}

void set_keepalive(BorrowedFd socket, Milliseconds after) {
    using std::chrono::seconds;
    const auto idle = std::max(seconds(1), std::chrono::duration_cast<seconds>(after));
    set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, static_cast<int>(idle.count()));
    set_option(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
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
    // An urgent byte stays in its place (RFC 6093).
    set_option(client_, SOL_SOCKET, SO_OOBINLINE, 1);
    set_user_timeout(client_, site_.configuration.user_timeout);
    if (!services_.poll.add(client_, *this, Side::Client)) return finish(Ending::Local);
    connector_ = std::make_unique<Connector>(
        services_.loop, site_.group, description_, static_cast<Connector::Owner&>(*this),
        site_.configuration.is_transparent ? &description_.source : nullptr);
    connector_->start();
}

void Connection::on_socket_events(Side side, uint32_t epoll_events) noexcept {
    relay_.on_events(side, epoll_events);
    if (side == Side::Backend && !is_backend_inline_) keep_urgent_in_place(epoll_events);
    switch (state_) {
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

// The backend's urgent byte (the client's socket has this from the beginning): not before an event
// tells of one, or that there is more to come than one answer. Nothing is read without an event.
void Connection::keep_urgent_in_place(uint32_t epoll_events) {
    constexpr uint32_t Last = GoneEvents | EPOLLRDHUP;
    const bool has_input = (epoll_events & EPOLLIN) != 0;
    const bool goes_on = has_input && has_backend_input_ && (epoll_events & Last) == 0;
    has_backend_input_ = has_backend_input_ || has_input;
    if (!goes_on && (epoll_events & EPOLLPRI) == 0) return;
    set_option(backend_, SOL_SOCKET, SO_OOBINLINE, 1);
    is_backend_inline_ = true;
}

void Connection::on_turn() noexcept {
    relay();
}

void Connection::on_connected(UniqueFd socket, BackendLease lease,
                              const SocketAddress& address) noexcept {
    backend_ = std::move(socket);
    lease_ = std::move(lease);
    backend_address_ = address;
    connect_us_ = microseconds_since_start();
    if (backend_address_.has_address())
        set_user_timeout(backend_, site_.configuration.user_timeout);
    relay_.to_client().reset_source();
    has_backend_input_ = is_backend_inline_ = false;
    if (!services_.poll.add(backend_, *this, Side::Backend)) return finish(Ending::Local);
    state_ = State::FirstBytes;
    first_sent_ = 0;
    start_deadline();
    send_first_bytes();
}

bool Connection::read_first_bytes(Bytes& first, bool& has_ended) {
    RelayDirection& to_backend = relay_.to_backend();
    first = kept_;
    if (!to_backend.may_read() || kept_.size() >= FirstBytesMax) return true;
    const auto room = services_.relay.buffer.first(FirstBytesMax - kept_.size());
    const ssize_t size = recv(client_.borrow().number(), room.data(), room.size(), MSG_DONTWAIT);
    if (size < 0 && errno != EAGAIN) return false;
    has_ended = size == 0;
    const Bytes more = Bytes(room).first(size > 0 ? static_cast<size_t>(size) : 0);
    if (more.size() < room.size() && !to_backend.has_urgent()) to_backend.note_drained();
    if (kept_.empty()) {
        first = more;
        return true;
    }
    kept_.insert(kept_.end(), more.begin(), more.end());
    first = kept_;
    return true;
}

// The PROXY protocol header, and what the client has said so far.
void Connection::send_first_bytes() {
    ClientHeaderBytes header;
    const size_t header_bytes =
        write_client_header(site_.configuration.proxy_protocol, description_, header);
    RelayDirection& to_backend = relay_.to_backend();
    Bytes first;
    bool has_ended = false;
    if (!read_first_bytes(first, has_ended)) return finish(Ending::ClientReset, Reset::Backend);
    bool is_broken = false;
    if (first_sent_ < header_bytes + first.size()) {
        const size_t header_sent = std::min<size_t>(first_sent_, header_bytes);
        const Bytes unsent = first.subspan(first_sent_ - header_sent);
        iovec parts[2] = {{header.data() + header_sent, header_bytes - header_sent},
                          {const_cast<uint8_t*>(unsent.data()), unsent.size()}};
        msghdr message{};
        message.msg_iov = parts;
        message.msg_iovlen = 2;
        to_backend.prepare_write(backend_);
        const ssize_t sent =
            sendmsg(backend_.borrow().number(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        is_broken = sent < 0 && errno != EAGAIN;
        if (sent > 0) first_sent_ += static_cast<uint32_t>(sent);
        if (!is_broken && !first.empty() && first_to_backend_us_ < 0)
            first_to_backend_us_ = microseconds_since_start();
    }
    const bool ends = has_ended || to_backend.has_hung_up() || to_backend.has_urgent() ||
                      first.size() == FirstBytesMax || !is_harmless_to_repeat(first);
    if (ends && !is_broken && first_sent_ >= header_bytes) return settle(first);
    if (kept_.empty()) kept_.assign(first.begin(), first.end());
    if (is_broken) replace_backend();
    // Else the next edge tells when there is room, or more to send.
}

void Connection::on_backend_in_first_bytes(uint32_t epoll_events) {
    constexpr uint32_t AnyEnd = GoneEvents | EPOLLRDHUP;
    if ((epoll_events & (EPOLLIN | EPOLLPRI | AnyEnd)) == 0) return send_first_bytes();
    if ((epoll_events & AnyEnd) != 0) {
        char byte;
        if (recv(backend_.borrow().number(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0)
            return replace_backend();
    }
    ClientHeaderBytes header;
    const size_t header_bytes =
        write_client_header(site_.configuration.proxy_protocol, description_, header);
    if (first_sent_ < header_bytes) return send_first_bytes();
    lease_.note_answered();
    settle(kept_);
}

// This backend is the last one: nothing is kept for another. What it hasn't taken yet goes first.
void Connection::settle(Bytes first) {
    ClientHeaderBytes header;
    const size_t header_bytes =
        write_client_header(site_.configuration.proxy_protocol, description_, header);
    const size_t sent = first_sent_ - header_bytes;
    relay_.to_backend().add_bytes(sent);
    if (sent < first.size() && !relay_.to_backend().hold(services_.relay, first.subspan(sent)))
        return finish(Ending::Local);
    kept_ = {};
    attempts_ = connector_->attempts();
    connector_.reset();
    state_ = State::Relaying;
    relay();
}

void Connection::replace_backend() {
    backend_.close();  // nobody else has it open: no event of it comes any more
    lease_ = BackendLease{};
    relay_.replace_backend();
    state_ = State::Connecting;
    connector_->next(ConnectFailure::ClosedEarly);
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
    if (relay_.is_half_closed() && !is_deadline_for_half_) start_deadline();
}

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
    finish(is_deadline_for_half_ ? Ending::HalfClosedTimeout : Ending::IdleTimeout);
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

// The answer must arrive: unread input would turn the close into a reset that destroys it.
void Connection::refuse() {
    attempts_ = connector_->attempts();
    connector_.reset();
    state_ = State::Refusing;
    const auto buffer = services_.relay.buffer;
    const ssize_t size = kept_.empty() ? recv(client_.borrow().number(), buffer.data(),
                                              buffer.size(), MSG_PEEK | MSG_DONTWAIT)
                                       : 0;
    const Bytes first_bytes =
        size > 0 ? Bytes(buffer).first(static_cast<size_t>(size)) : Bytes(kept_);
    const std::string words = closing_words(recognise_client(first_bytes), failure_);
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
    finish(ending);
}

void Connection::finish(Ending ending, Reset reset) {
    const ConnectionRecord its_record = record(ending);
    relay_.abandon(services_.relay.pipes);
    services_.poll.forget(*this);
    if (reset == Reset::Client) reset_at_close(client_);
    if (reset == Reset::Backend && backend_.is_open()) reset_at_close(backend_);
    connector_.reset();
    client_.close();
    backend_.close();
    services_.owner.on_connection_end(*this, its_record);
}

ConnectionRecord Connection::record(Ending ending) const {
    return {.site = site_.configuration.name,
            .port = description_.edge_port,
            .client = description_.source,
            .destination = description_.destination,
            .name = description_.name,
            .id = description_.id,
            .backend = lease_.is_held() ? lease_.backend().text() : std::string_view(),
            .backend_address = backend_address_,
            .attempts = connector_ ? connector_->attempts() : attempts_,
            .bytes_to_backend = relay_.to_backend().bytes(),
            .bytes_to_client = relay_.to_client().bytes(),
            .connect_us = connect_us_,
            .first_to_backend_us = first_to_backend_us_,
            .first_to_client_us = first_to_client_us_,
            .total_us = microseconds_since_start(),
            .ending = ending,
            .failure = failure_};
}

int64_t Connection::microseconds_since_start() const {
    return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - started_).count();
}

}  // namespace proxyd::shim
