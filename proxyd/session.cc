// SPDX-License-Identifier: MIT
//
// The order of a handoff is easy to break: out of the epoll set, socket state restored, message
// sent, copy closed.
#include "proxyd/session.h"

#include "base/handoff/send.h"
#include "proxyd/decision.h"
#include "proxyd/proxy_header.h"
#include "proxyd/session_table.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cassert>
#include <iterator>
#include <utility>

namespace proxyd {
namespace {

// A refused client gets this long until it has read the answer.
constexpr auto DrainTime = std::chrono::seconds(2);
constexpr auto LookAgainTime = std::chrono::milliseconds(100);

// Eight digits.
void write_hexadecimal(uint32_t number, char* out) {
    for (int shift = 28; shift >= 0; shift -= 4)
        *out++ = "0123456789abcdef"[number >> shift & 0xf];
}

int64_t microseconds(Clock::duration duration) {
    return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}

std::string_view outcome_word(HandoffOutcome outcome) {
    switch (outcome) {
        case HandoffOutcome::Taken:
            return "";
        case HandoffOutcome::Full:
            return "site_full";
        case HandoffOutcome::InFlight:
            return "handoffs_in_flight";
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

uint32_t stream_of(const HelloOutcome& outcome) {
    return std::visit([](const auto& found) { return found.http2_stream; }, outcome);
}

}  // namespace

Session::Session(SessionServices& services, uint64_t key, uint32_t number, UniqueFd connection,
                 const SocketAddress& client, const Entrance& entrance)
    : services_(services),
      key_(key),
      socket_(services.clients, key, std::move(connection)),
      client_family_(client.family()),
      client_(client),
      entrance_(entrance),
      accepted_at_(Clock::now()),
      deadline_(services.loop, *this),
      look_again_(services.loop, *this) {
    write_hexadecimal(services.run_number, id_.data());
    id_[8] = '-';
    write_hexadecimal(number, id_.data() + 9);
    services_.statistics.enter(state_);
}

Session::~Session() {
    services_.statistics.leave(state_);
    leave_lists();
    if (is_counted_) services_.source_limits.leave(services_.source_column, client_);
}

Session::Progress Session::begin() {
    const ProxyProtocol& proxies = entrance_.proxy_protocol;
    if (proxies.is_from_all || proxies.sources.contains(client_)) {
        change_state(State::AwaitingProxyHeader);
        return look_at_proxy_header(0);
    }
    return come_in();
}

// From here on client_ is who it will be: whether it may come in at all.
Session::Progress Session::come_in() {
    hello_at_ = state_ == State::AwaitingProxyHeader ? Clock::now() : accepted_at_;
    change_state(State::AwaitingHello);
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
    if (!decision.is_open()) return enter_site(decision.match);
    hello_at_.reset();
    return look_at_hello(0);
}

// Rejects a client that must not cost anything: it is told why if it has said already what it
// speaks, and nobody waits until it has read that. What it has sent is taken first, since unread
// input would turn the close into a reset.
Session::Progress Session::turn_away(Refusal refusal, std::string_view reason) {
    hello_at_.reset();
    if (const auto bytes = socket_.peek(services_.peek_buffer, 0)) {
        protocol_ = recognise_protocol(*bytes).value_or(Protocol::Unknown);
        if (protocol_ == Protocol::Http2) http2_stream_ = stream_of(parse_hello(protocol_, *bytes));
    }
    log(Verdict::Rejected, reason);
    const std::string answer = refusal_answer(protocol_, refusal, reason, http2_stream_);
    if (answer.empty()) return Progress::Done;
    (void)socket_.drain();
    socket_.send(answer);
    return Progress::Done;
}

Session::Progress Session::on_client_event(uint32_t epoll_events) {
    switch (state_) {
        case State::AwaitingProxyHeader:
            return look_at_proxy_header(epoll_events);
        case State::AwaitingHello:
            return look_at_hello(epoll_events);
        case State::AwaitingSite:
            return close_silently("client_reset");
        case State::Refusing:
            return socket_.drain() ? Progress::Keep : Progress::Done;
    }
    return Progress::Done;
}

Session::Progress Session::on_site_room() {
    assert(state_ == State::AwaitingSite && site_ != nullptr);
    return try_site(*site_);
}

void Session::give_up(Refusal refusal, std::string_view reason) {
    if (state_ != State::Refusing) (void)refuse(refusal, reason);
}

// The header alone is taken from the socket: whoever gets it begins at the client's own bytes.
Session::Progress Session::look_at_proxy_header(uint32_t epoll_events) {
    std::array<uint8_t, ProxyHeaderBytesMax> buffer;
    const auto bytes = socket_.peek(buffer, epoll_events);
    if (!bytes) return close_silently(bytes.error());
    const ProxyHeaderOutcome outcome = parse_proxy_header(*bytes);
    if (const auto* need = std::get_if<NeedMore>(&outcome))
        return await_bytes(need->bytes_min, epoll_events);
    if (const auto* malformed = std::get_if<Malformed>(&outcome))
        return refuse(Refusal::Malformed, malformed->reason);

    const auto& header = std::get<ProxyHeader>(outcome);
    if (!socket_.take(header.size)) return close_silently("client_reset");
    if (header.source.has_address()) {
        client_ = header.source;
        stated_destination_ = header.destination;
    }
    return come_in();
}

Session::Progress Session::look_at_hello(uint32_t epoll_events) {
    const auto seen = socket_.peek(services_.peek_buffer, epoll_events);
    if (!seen) return close_silently(seen.error());
    const Bytes bytes = *seen;

    auto protocol = recognise_protocol(bytes);
    if (!entrance_.proxy_protocol.is_off()) {
        const auto is_header = begins_with_proxy_header(bytes);
        if (is_header == true) return refuse(Refusal::Malformed, "proxy_header_untrusted");
        if (!is_header) protocol.reset();
    }
    HelloOutcome outcome = NeedMore{bytes.size() + 1};
    if (protocol) {
        protocol_ = *protocol;
        outcome = parse_hello(protocol_, bytes);
    }
    http2_stream_ = stream_of(outcome);
    if (const auto* need = std::get_if<NeedMore>(&outcome)) {
        if (need->bytes_min > services_.configuration.hello_bytes_max)
            return refuse(Refusal::Malformed, "hello_bytes_max");
        return await_bytes(need->bytes_min, epoll_events);
    }
    hello_at_ = Clock::now();
    if (auto* malformed = std::get_if<Malformed>(&outcome)) {
        offending_name_ = std::move(malformed->offending);
        const bool is_address = malformed->reason == name_flaw_word(NameFlaw::IpLiteral);
        return refuse(is_address ? Refusal::Address : Refusal::Malformed, malformed->reason);
    }
    return choose_route(std::get<Hello>(outcome));
}

Session::Progress Session::await_bytes(size_t bytes_min, uint32_t epoll_events) {
    if ((epoll_events & EPOLLERR) != 0) return close_silently("client_reset");
    if ((epoll_events & (EPOLLRDHUP | EPOLLHUP)) != 0) return close_silently("client_closed");
    if (socket_.was_woken_in_vain()) return look_again_later();
    socket_.set_receive_low_water(bytes_min);
    if (!socket_.is_watched()) {
        if (!socket_.watch(EPOLLIN | EPOLLRDHUP)) return refuse(Refusal::Limit, "sessions_max");
        services_.expendable.push_back(*this);
        is_expendable_ = true;
        start_deadline();
    } else if (awaits_first_byte_ || socket_.bytes_seen() == 0) {
        start_deadline();
    }
    return Progress::Keep;
}

// One deadline from accept, which no byte renews. Before the first byte there is another, if
// somebody serves clients that wait for the server to speak.
void Session::start_deadline() {
    const auto now = Clock::now();
    auto end = accepted_at_ + services_.configuration.hello_timeout;
    awaits_first_byte_ = state_ == State::AwaitingHello && socket_.bytes_seen() == 0 &&
                         services_.routes.find("", Protocol::Silent).route != nullptr;
    if (awaits_first_byte_) end = std::min(end, now + services_.configuration.silent_after);
    deadline_.start(end - now);
}

Session::Progress Session::first_byte_did_not_come() {
    awaits_first_byte_ = false;
    const auto bytes = socket_.peek(services_.peek_buffer, 0);
    if (!bytes) return close_silently(bytes.error());
    if (!bytes->empty()) return look_at_hello(0);
    protocol_ = Protocol::Silent;
    hello_at_ = Clock::now();
    return choose_route(Hello());
}

// The kernel may call a socket readable with fewer bytes than SO_RCVLOWAT: when memory is short,
// and when urgent data lies in the way, which a peek doesn't pass (tcp(7)). That would spin, so the
// next look comes after a while.
Session::Progress Session::look_again_later() {
    socket_.watch(EPOLLRDHUP);
    look_again_.start(LookAgainTime);
    return Progress::Keep;
}

void Session::on_look_again() noexcept {
    socket_.watch(EPOLLIN | EPOLLRDHUP);
    if (on_client_event(0) == Progress::Done) services_.sessions.erase(*this);
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
    socket_.restore();
    route_key_ = match.route->key;
    rule_ = match.rule;
    Site& site = services_.sites.site_for(*match.route, entrance_.address.port());
    site_ = &site;
    change_state(State::AwaitingSite);
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
    socket_.stop_watching();
    const HandoffOutcome outcome = offer_to(site);
    if (outcome == HandoffOutcome::Taken) {
        services_.closing.add(socket_.release());
        log(Verdict::HandedOver, route_rule_word(rule_));
    }
    return outcome;
}

HandoffOutcome Session::offer_to(Site& site) {
    ConnectionDescription description;
    description.source = client_;
    description.destination =
        stated_destination_.has_address() ? stated_destination_ : local_address();
    description.alpn = hello_.alpn.first();
    description.name = hello_.name ? hello_.name->view() : std::string_view();
    description.id = {id_.data(), id_.size()};
    description.is_stated = stated_destination_.has_address();
    std::array<uint8_t, WireHeaderBytesMax> payload;
    const size_t size = encode_wire_header(description, payload);
    return site.hand_over(socket_.connection(), Bytes(payload).first(size), client_family_);
}

// Only a listener on a wildcard has to ask for it.
const SocketAddress& Session::local_address() {
    if (!local_ && entrance_.address.is_wildcard())
        if (const auto local = SocketAddress::local_of(socket_.connection())) local_ = *local;
    if (!local_) local_ = entrance_.address;
    return *local_;
}

Session::Progress Session::await_site(Site& site, HandoffOutcome outcome) {
    // Only the end of the connection is of interest: half-closed clients still want their answer.
    if (!socket_.is_watched() && !socket_.watch(0)) return refuse(Refusal::Limit, "sessions_max");
    if (is_linked()) return Progress::Keep;
    const auto wait = services_.configuration.wait_for_site;
    if (wait == wait.zero()) return refuse(Refusal::SiteTrouble, outcome_word(outcome));
    if (site.waiting_count() >= services_.pending_max) return refuse(Refusal::Limit, "pending_max");
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
    change_state(State::Refusing);
    socket_.set_receive_low_water(1);
    socket_.send(refusal_answer(protocol_, refusal, reason, http2_stream_));
    socket_.end_sending();
    if (!socket_.drain() || !socket_.watch(EPOLLIN | EPOLLRDHUP)) return Progress::Done;
    services_.expendable.push_back(*this);
    is_expendable_ = true;
    deadline_.start(DrainTime);
    return Progress::Keep;
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
            if (awaits_first_byte_) return first_byte_did_not_come();
            [[fallthrough]];
        case State::AwaitingProxyHeader:
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

void Session::leave_lists() {
    if (!is_linked()) return;
    if (is_expendable_)
        services_.expendable.remove(*this);
    else
        site_->remove_waiting(*this);
    is_expendable_ = false;
}

void Session::change_state(State state) {
    services_.statistics.leave(state_);
    state_ = state;
    services_.statistics.enter(state_);
}

Session::Snapshot Session::snapshot() const {
    Snapshot now;
    now.id = {id_.data(), id_.size()};
    now.client = client_;
    now.listener = local_ ? *local_ : entrance_.address;
    now.state = session_state_word(state_);
    now.protocol = protocol_word(protocol_);
    now.name = hello_.name ? hello_.name->view() : std::string_view(offending_name_);
    now.route = route_key_;
    if (state_ == State::AwaitingSite && site_ != nullptr) now.site_directory = site_->directory();
    now.bytes_seen = socket_.bytes_seen();
    now.accepted_at = accepted_at_;
    now.waits_since = hello_at_.value_or(accepted_at_);
    return now;
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
    record.has_waited_for_site = is_linked() && !is_expendable_;
    services_.access_log.add(record);
}

}  // namespace proxyd
