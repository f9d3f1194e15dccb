// SPDX-License-Identifier: MIT
//
// Two things here are easy to break.
//
// Peeking leaves the bytes in the socket, so the socket stays readable, and a level-triggered wait
// spins. Therefore SO_RCVLOWAT is set to the number of bytes that are worth another look, and back
// to 1 before the socket leaves us: the option travels with it (measured; so does O_NONBLOCK, which
// is why the connection never gets it and every call says MSG_DONTWAIT).
//
// The order of a handoff: out of the epoll set, socket state restored, message sent, copy closed.
#include "proxyd/session.h"

#include "base/handoff/send.h"
#include "proxyd/decision.h"
#include "proxyd/session_table.h"

#include <errno.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cassert>
#include <iterator>
#include <utility>

namespace proxyd {
namespace {

// A refused client gets this long, and may send this much, until it has read the answer.
constexpr auto DrainTime = std::chrono::seconds(2);
constexpr size_t DrainBytesMax = 1 << 20;
constexpr auto LookAgainTime = std::chrono::milliseconds(100);
constexpr size_t DrainBytesPerCall = 64 * 1024;

int64_t microseconds(Clock::duration duration) {
    return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}

std::string_view outcome_word(HandoffOutcome outcome) {
    switch (outcome) {
        case HandoffOutcome::Taken:
            return "";
        case HandoffOutcome::Full:
            return "site_full";
        case HandoffOutcome::WrongFamily:
            return "site_wrong_family";
        case HandoffOutcome::NotPermitted:
            return "site_not_permitted";
        case HandoffOutcome::Refused:
            return "site_refused";
        case HandoffOutcome::Absent:
            return "site_absent";
    }
    return "";
}

// Different in every run, so that ids of different runs differ.
uint32_t run_number() {
    static const uint32_t number = [] {
        timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        return static_cast<uint32_t>(now.tv_sec * 1000 + now.tv_nsec / 1'000'000);
    }();
    return number;
}

}  // namespace

Session::Session(SessionServices& services, uint64_t key, uint32_t number, UniqueFd connection,
                 const SocketAddress& client, const Entrance& entrance)
    : services_(services),
      key_(key),
      connection_(std::move(connection)),
      client_(client),
      entrance_(entrance),
      accepted_at_(Clock::now()),
      deadline_(services.loop, *this),
      look_again_(services.loop, *this) {
    fmt::format_to(id_.data(), "{:08x}-{:08x}", run_number(), number);
}

Session::~Session() {
    leave_lists();
    if (is_watched_) stop_watching();
    if (is_counted_) services_.source_limits.leave(services_.source_column, client_);
}

Session::Progress Session::begin() {
    return come_in();
}

// Once it is known who the client is: whether it may come in at all.
Session::Progress Session::come_in() {
    const Decision decision = decide_at_accept(entrance_.access, entrance_.site, &client_);
    if (decision.is_rejected()) return turn_away(decision.refusal, decision.rejected);
    switch (services_.source_limits.admit(services_.source_column, client_, accepted_at_)) {
        case SourceVerdict::Fine:
            is_counted_ = true;
            break;
        case SourceVerdict::TooManySessions:
            return turn_away(Refusal::Limit, "source_sessions_max");
        case SourceVerdict::TooFast:
            return turn_away(Refusal::Limit, "source_connections_per_second_max");
    }
    if (decision.is_open()) return look_at_hello(0);
    hello_at_ = accepted_at_;
    return enter_site(decision.match);
}

// Rejects a client that must not cost anything: it is told why if it has said already what it
// speaks, and nobody waits until it has read that. What it has sent is taken first, since unread
// input would turn the close into a reset.
Session::Progress Session::turn_away(Refusal refusal, std::string_view reason) {
    const std::span<uint8_t> buffer = services_.peek_buffer;
    const int socket = connection_.borrow().number();
    const ssize_t size = recv(socket, buffer.data(), buffer.size(), MSG_PEEK | MSG_DONTWAIT);
    if (size > 0)
        protocol_ = recognise_protocol(Bytes(buffer).first(static_cast<size_t>(size)))
                        .value_or(Protocol::Unknown);
    log(Verdict::Rejected, reason);
    const std::string answer = refusal_answer(protocol_, refusal, reason);
    if (answer.empty()) return Progress::Done;
    (void)drain();
    (void)send(socket, answer.data(), answer.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    return Progress::Done;
}

Session::Progress Session::on_client_event(uint32_t epoll_events) {
    switch (state_) {
        case State::AwaitingHello:
            return look_at_hello(epoll_events);
        case State::AwaitingSite:
            return close_silently("client_reset");
        case State::Refusing:
            return drain();
    }
    return Progress::Done;
}

Session::Progress Session::on_site_room() {
    assert(state_ == State::AwaitingSite && site_ != nullptr);
    return try_site(*site_);
}

void Session::give_up(std::string_view reason) {
    if (state_ != State::Refusing) (void)refuse(Refusal::Limit, reason);
}

Session::Progress Session::look_at_hello(uint32_t epoll_events) {
    const std::span<uint8_t> buffer = services_.peek_buffer;
    const ssize_t size =
        recv(connection_.borrow().number(), buffer.data(), buffer.size(), MSG_PEEK | MSG_DONTWAIT);
    if (size < 0 && errno != EAGAIN && errno != EINTR) return close_silently("client_reset");
    if (size == 0) return close_silently("client_closed");

    const size_t bytes_seen_before =
        std::exchange(bytes_seen_, size < 0 ? 0 : static_cast<size_t>(size));
    const bool woken_in_vain = (epoll_events & EPOLLIN) != 0 && bytes_seen_ <= bytes_seen_before;
    if (size < 0) return woken_in_vain ? look_again_later() : await_hello(1);

    const Bytes bytes = Bytes(buffer).first(bytes_seen_);
    HelloOutcome outcome = NeedMore{bytes_seen_ + 1};
    if (const auto protocol = recognise_protocol(bytes)) {
        protocol_ = *protocol;
        if (protocol_ == Protocol::Unknown) return refuse(Refusal::Malformed, "protocol_unknown");
        outcome =
            protocol_ == Protocol::Tls ? parse_client_hello(bytes) : parse_http_request_head(bytes);
    }
    if (const auto* need = std::get_if<NeedMore>(&outcome)) {
        if (need->bytes_min > services_.configuration.hello_bytes_max)
            return refuse(Refusal::Malformed, "hello_too_large");
        if ((epoll_events & EPOLLERR) != 0) return close_silently("client_reset");
        if ((epoll_events & (EPOLLRDHUP | EPOLLHUP)) != 0) return close_silently("client_closed");
        return woken_in_vain ? look_again_later() : await_hello(need->bytes_min);
    }
    hello_at_ = Clock::now();
    if (auto* malformed = std::get_if<Malformed>(&outcome)) {
        offending_name_ = std::move(malformed->offending);
        const bool is_address = malformed->reason == name_flaw_word(NameFlaw::IpLiteral);
        return refuse(is_address ? Refusal::Address : Refusal::Malformed, malformed->reason);
    }
    return choose_route(std::get<Hello>(outcome));
}

Session::Progress Session::await_hello(size_t bytes_min) {
    set_receive_low_water(bytes_min);
    if (is_watched_) return Progress::Keep;
    if (!watch_client(EPOLLIN | EPOLLRDHUP)) return refuse(Refusal::Limit, "sessions_max");
    services_.expendable.push_back(*this);
    is_expendable_ = true;
    deadline_.start(services_.configuration.hello_timeout - (Clock::now() - accepted_at_));
    return Progress::Keep;
}

// The kernel may call a socket readable with fewer bytes than SO_RCVLOWAT: when memory is short,
// and when urgent data lies in the way, which a peek doesn't pass (tcp(7)). That would spin, so the
// next look comes after a while.
Session::Progress Session::look_again_later() {
    services_.clients.change(connection_, key_, EPOLLRDHUP);
    look_again_.start(LookAgainTime);
    return Progress::Keep;
}

void Session::on_look_again() noexcept {
    services_.clients.change(connection_, key_, EPOLLIN | EPOLLRDHUP);
    if (look_at_hello(0) == Progress::Done) services_.sessions.erase(*this);
}

void Session::stop_timers() {
    deadline_.stop();
    look_again_.stop();
}

Session::Progress Session::choose_route(const Hello& hello) {
    hello_ = hello;
    const Decision decision =
        decide_by_hello(services_.routes,
                        {hello_.name ? hello_.name->view() : "", protocol_, hello_.alpn, &client_});
    if (!decision.is_rejected()) return enter_site(decision.match);
    if (decision.match.route != nullptr) route_key_ = decision.match.route->key;
    return refuse(decision.refusal, decision.rejected);
}

Session::Progress Session::enter_site(const RouteMatch& match) {
    leave_lists();
    stop_timers();
    if (is_watched_) stop_watching();
    set_receive_low_water(1);
    route_key_ = match.route->key;
    rule_ = match.rule;
    Site& site = services_.sites.site_for(*match.route, entrance_.address.port());
    site_ = &site;
    state_ = State::AwaitingSite;
    // Whoever waits already is served first.
    if (site.waiting_count(client_family()) > 0) return await_site(site, HandoffOutcome::Full);
    return try_site(site);
}

Session::Progress Session::try_site(Site& site) {
    const HandoffOutcome outcome = hand_over_to(site);
    if (outcome == HandoffOutcome::Taken) return Progress::Done;
    if (outcome == HandoffOutcome::WrongFamily)
        return refuse(Refusal::SiteTrouble, outcome_word(outcome));
    return await_site(site, outcome);
}

// After Taken the session is over.
HandoffOutcome Session::hand_over_to(Site& site) {
    if (is_watched_) stop_watching();
    const HandoffOutcome outcome = offer_to(site);
    if (outcome == HandoffOutcome::Taken) {
        connection_.close();
        log(Verdict::HandedOver, route_rule_word(rule_));
    }
    return outcome;
}

HandoffOutcome Session::offer_to(Site& site) {
    ConnectionDescription description;
    description.source = client_;
    description.destination = local_address();
    description.alpn = hello_.alpn.first();
    description.name = hello_.name ? hello_.name->view() : std::string_view();
    description.id = {id_.data(), id_.size()};
    std::array<uint8_t, WireHeaderBytesMax> payload;
    const size_t size = encode_wire_header(description, payload);
    return site.hand_over(connection_, Bytes(payload).first(size), client_.family());
}

// Only a listener on a wildcard has to ask for it.
const SocketAddress& Session::local_address() {
    if (!local_ && entrance_.address.is_wildcard())
        if (const auto local = SocketAddress::local_of(connection_)) local_ = *local;
    if (!local_) local_ = entrance_.address;
    return *local_;
}

Session::Progress Session::await_site(Site& site, HandoffOutcome outcome) {
    // Only the end of the connection is of interest: half-closed clients still want their answer.
    if (!is_watched_ && !watch_client(0)) return refuse(Refusal::Limit, "sessions_max");
    if (is_linked()) return Progress::Keep;
    const auto wait = services_.configuration.wait_for_site;
    if (wait == wait.zero()) return refuse(Refusal::SiteTrouble, outcome_word(outcome));
    if (site.waiting_count() >= services_.configuration.pending_max)
        return refuse(Refusal::Limit, "pending_max");
    site.add_waiting(*this);
    deadline_.start(wait);
    return Progress::Keep;
}

// Writes the answer, ends our half, and reads on until the client has ended its own: a socket that
// is closed with unread input is reset, which destroys the answer on its way (RFC 1122
// section 4.2.2.13).
Session::Progress Session::refuse(Refusal refusal, std::string_view reason, Verdict verdict) {
    log(verdict, reason);
    leave_lists();
    stop_timers();
    state_ = State::Refusing;
    set_receive_low_water(1);
    const std::string answer = refusal_answer(protocol_, refusal, reason);
    if (!answer.empty())
        (void)send(connection_.borrow().number(), answer.data(), answer.size(),
                   MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(connection_.borrow().number(), SHUT_WR);
    if (drain() == Progress::Done) return Progress::Done;
    if (is_watched_)
        services_.clients.change(connection_, key_, EPOLLIN | EPOLLRDHUP);
    else if (!watch_client(EPOLLIN | EPOLLRDHUP))
        return Progress::Done;
    services_.expendable.push_back(*this);
    is_expendable_ = true;
    deadline_.start(DrainTime);
    return Progress::Keep;
}

Session::Progress Session::drain() {
    // MSG_TRUNC on TCP: taken and thrown away without being copied (tcp(7)).
    const ssize_t size =
        recv(connection_.borrow().number(), nullptr, DrainBytesPerCall, MSG_TRUNC | MSG_DONTWAIT);
    if (size < 0) return errno == EAGAIN || errno == EINTR ? Progress::Keep : Progress::Done;
    bytes_drained_ += static_cast<size_t>(size);
    return size == 0 || bytes_drained_ > DrainBytesMax ? Progress::Done : Progress::Keep;
}

Session::Progress Session::close_silently(std::string_view reason) {
    log(Verdict::Closed, reason);
    return Progress::Done;
}

void Session::on_deadline() noexcept {
    if (deadline_passed() == Progress::Done) services_.sessions.erase(*this);
}

Session::Progress Session::deadline_passed() {
    switch (state_) {
        case State::AwaitingHello:
            return refuse(Refusal::TooLate, "hello_timeout", Verdict::TimedOut);
        case State::AwaitingSite: {
            // A last try tells the reason, too.
            const HandoffOutcome outcome = hand_over_to(*site_);
            if (outcome == HandoffOutcome::Taken) return Progress::Done;
            return refuse(Refusal::SiteTrouble, outcome_word(outcome));
        }
        case State::Refusing:
            return Progress::Done;
    }
    return Progress::Done;
}

bool Session::watch_client(uint32_t events) {
    is_watched_ = services_.clients.add(connection_, key_, events).has_value();
    return is_watched_;
}

void Session::stop_watching() {
    services_.clients.remove(connection_);
    is_watched_ = false;
}

void Session::leave_lists() {
    if (!is_linked()) return;
    if (is_expendable_)
        services_.expendable.remove(*this);
    else
        site_->remove_waiting(*this);
    is_expendable_ = false;
}

void Session::set_receive_low_water(size_t bytes) {
    if (receive_low_water_ == bytes) return;
    const int value = static_cast<int>(bytes);
    setsockopt(connection_.borrow().number(), SOL_SOCKET, SO_RCVLOWAT, &value, sizeof(value));
    receive_low_water_ = bytes;
}

void Session::log(Verdict verdict, std::string_view reason) {
    AccessRecord record;
    record.id = {id_.data(), id_.size()};
    record.client = client_;
    record.listener = local_address();
    record.protocol = protocol_;
    record.name = hello_.name ? hello_.name->view() : std::string_view(offending_name_);
    std::string alpn;
    hello_.alpn.append_to(alpn);
    record.alpn = alpn;
    record.route = route_key_;
    if (site_ != nullptr) {
        record.site_directory = site_->directory();
        if (verdict == Verdict::HandedOver) record.site_socket = site_->last_taker();
    }
    record.verdict = verdict;
    record.reason = reason;
    if (hello_at_) {
        record.hello_us = microseconds(*hello_at_ - accepted_at_);
        record.handoff_us = microseconds(Clock::now() - *hello_at_);
    }
    services_.access_log.add(record);
}

}  // namespace proxyd
