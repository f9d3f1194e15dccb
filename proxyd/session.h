// SPDX-License-Identifier: MIT
//
// Session: one client from accept to handoff or rejection. Used by worker, which owns sessions and
// brings them their events; after each the session says whether it is done.
//
//     AwaitingProxyHeader --> AwaitingHello --> AwaitingSite --> (handed over: done)
//              |                    |                |
//              +--------------------+--> Refusing <--+
//
// The first one only where a load balancer says who the client is. Refusing: the answer is written,
// what the client still sends is thrown away.
//
// The usual session passes through all of it in begin(), without ever being watched.
#pragma once

#include "base/daemon/closing_list.h"
#include "base/daemon/event_loop.h"
#include "base/daemon/intrusive_list.h"
#include "base/handoff/wire_header.h"
#include "base/posix/socket_address.h"
#include "base/posix/unique_fd.h"
#include "proxyd/access_log.h"
#include "proxyd/client_socket.h"
#include "proxyd/configuration.h"
#include "proxyd/hello.h"
#include "proxyd/refusal.h"
#include "proxyd/route_table.h"
#include "proxyd/site_table.h"
#include "proxyd/source_limits.h"
#include "proxyd/statistics.h"

#include <array>
#include <cstdint>
#include <span>
#include <string>

namespace proxyd {

class Session;
class SessionTable;

// What sessions of a worker share.
struct SessionServices {
    EventLoop& loop;
    const Configuration& configuration;
    const RouteTable& routes;
    SiteTable& sites;
    ClientPoll& clients;
    AccessLog& access_log;
    ProcessStatistics& statistics;
    SessionTable& sessions;
    IntrusiveList<Session>& expendable;  // whoever goes first when room is needed, in that order
    std::span<uint8_t> peek_buffer;      // of hello_bytes_max
    const uint32_t run_number;           // different for each worker ever
    ClosingList& closing;
    const size_t pending_max;  // of this worker
    SourceLimits& source_limits;
    const size_t source_column;  // this worker's in them
};

// Where a session came in; lives as long as the worker.
struct Entrance {
    SocketAddress address;  // of the listener
    Route site;             // the listener's own site; its site_directory is "" without one
    const AccessLists* access = nullptr;  // who may come in; null: everybody
    ProxyProtocol proxy_protocol{};
};

class Session : public IntrusiveHook {
  public:
    enum class Progress { Keep, Done };

    Session(SessionServices& services, uint64_t key, uint32_t number, UniqueFd connection,
            const SocketAddress& client, const Entrance& entrance);
    ~Session();

    uint64_t key() const { return key_; }
    // Of the socket: a server sees that, whatever a load balancer says.
    sa_family_t client_family() const { return client_family_; }

    [[nodiscard]] Progress begin();
    [[nodiscard]] Progress on_client_event(uint32_t epoll_events);
    [[nodiscard]] Progress on_site_room();
    // Rejects it at once, to make room or to stop; nothing is waited for any more.
    void give_up(Refusal refusal, std::string_view reason);

    // For reports; the views live as long as the session stays as it is.
    struct Snapshot {
        std::string_view id;
        SocketAddress client;
        SocketAddress listener;
        std::string_view state;  // "awaiting_hello", "awaiting_site" or "refusing"
        std::string_view protocol;
        std::string_view name;  // as the client sent it, if it is no name
        std::string_view route;
        std::string_view site_directory;
        size_t bytes_seen = 0;
        Clock::time_point accepted_at;
        Clock::time_point waits_since;  // in its state
    };
    Snapshot snapshot() const;

  private:
    using State = SessionState;

    Progress come_in();
    Progress turn_away(Refusal refusal, std::string_view reason);
    Progress look_at_proxy_header(uint32_t epoll_events);
    Progress look_at_hello(uint32_t epoll_events);
    Progress await_bytes(size_t bytes_min, uint32_t epoll_events);
    void start_deadline();
    Progress first_byte_did_not_come();
    Progress choose_route(const Hello& hello);
    Progress enter_site(const RouteMatch& match);
    Progress try_site(Site& site);
    Progress await_site(Site& site, HandoffOutcome outcome);
    Progress refuse(Refusal refusal, std::string_view reason, Verdict verdict = Verdict::Rejected);
    Progress close_silently(std::string_view reason);

    HandoffOutcome hand_over_to(Site& site);
    HandoffOutcome offer_to(Site& site);
    const SocketAddress& local_address();
    void leave_lists();
    void change_state(State state);
    void log(Verdict verdict, std::string_view reason);
    Progress look_again_later();
    void stop_timers();
    void on_deadline() noexcept;
    void on_look_again() noexcept;
    Progress deadline_passed();

    SessionServices& services_;
    const uint64_t key_;
    State state_ = State::AwaitingHello;
    ClientSocket socket_;
    const sa_family_t client_family_;
    SocketAddress client_;              // of the socket, or as a PROXY protocol header says
    SocketAddress stated_destination_;  // by such a header; no address without one
    std::optional<SocketAddress> local_;
    const Entrance& entrance_;
    std::array<char, 17> id_;

    Protocol protocol_ = Protocol::Unknown;
    uint32_t http2_stream_ = 0;
    Hello hello_;
    std::string offending_name_;
    std::string_view route_key_;  // lives as long as the routes
    RouteRule rule_ = RouteRule::Default;
    Site* site_ = nullptr;  // where it waits, or what took it; not to be used after that

    const Clock::time_point accepted_at_;
    std::optional<Clock::time_point> hello_at_;
    bool awaits_first_byte_ = false;
    bool is_expendable_ = false;
    bool is_counted_ = false;  // in the source limits
    TimerWatcher<&Session::on_deadline> deadline_;
    TimerWatcher<&Session::on_look_again> look_again_;
};

}  // namespace proxyd
