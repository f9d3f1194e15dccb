// SPDX-License-Identifier: MIT
//
// Session: one client from accept to handoff or rejection. Used by worker, which owns sessions and
// brings them their events; after each the session says whether it is done.
//
//     AwaitingHello --> AwaitingSite --> (handed over: done)
//           |                |
//           +--> Refusing <--+    the answer is written, what the client still sends is thrown away
//
// The usual session passes through all of it in begin(), without ever being watched.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/handoff/wire_header.h"
#include "base/posix/socket_address.h"
#include "base/posix/unique_fd.h"
#include "proxyd/access_log.h"
#include "proxyd/client_poll.h"
#include "proxyd/configuration.h"
#include "proxyd/hello.h"
#include "proxyd/intrusive_list.h"
#include "proxyd/refusal.h"
#include "proxyd/route_table.h"
#include "proxyd/site_table.h"
#include "proxyd/source_limits.h"

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
    SessionTable& sessions;
    IntrusiveList<Session>& expendable;  // whoever goes first when room is needed, in that order
    std::span<uint8_t> peek_buffer;      // of hello_bytes_max
    SourceLimits& source_limits;
    const size_t source_column;  // this worker's in them
};

// Where a session came in; lives as long as the worker.
struct Entrance {
    SocketAddress address;  // of the listener
    Route site;             // the listener's own site; its site_directory is "" without one
    const AccessLists* access = nullptr;  // who may come in; null: everybody
};

class Session : public IntrusiveHook {
  public:
    enum class Progress { Keep, Done };

    Session(SessionServices& services, uint64_t key, uint32_t number, UniqueFd connection,
            const SocketAddress& client, const Entrance& entrance);
    ~Session();

    uint64_t key() const { return key_; }
    sa_family_t client_family() const { return client_.family(); }

    [[nodiscard]] Progress begin();
    [[nodiscard]] Progress on_client_event(uint32_t epoll_events);
    [[nodiscard]] Progress on_site_room();
    // Rejects it at once, to make room or to stop; nothing is waited for any more.
    void give_up(std::string_view reason);

  private:
    enum class State { AwaitingHello, AwaitingSite, Refusing };

    Progress come_in();
    Progress turn_away(Refusal refusal, std::string_view reason);
    Progress look_at_hello(uint32_t epoll_events);
    Progress await_hello(size_t bytes_min);
    Progress choose_route(const Hello& hello);
    Progress enter_site(const RouteMatch& match);
    Progress try_site(Site& site);
    Progress await_site(Site& site, HandoffOutcome outcome);
    Progress refuse(Refusal refusal, std::string_view reason, Verdict verdict = Verdict::Rejected);
    Progress drain();
    Progress close_silently(std::string_view reason);

    HandoffOutcome hand_over_to(Site& site);
    HandoffOutcome offer_to(Site& site);
    const SocketAddress& local_address();
    bool watch_client(uint32_t events);
    void stop_watching();
    void leave_lists();
    void log(Verdict verdict, std::string_view reason);
    void set_receive_low_water(size_t bytes);
    Progress look_again_later();
    void stop_timers();
    void on_deadline() noexcept;
    void on_look_again() noexcept;
    Progress deadline_passed();

    SessionServices& services_;
    const uint64_t key_;
    State state_ = State::AwaitingHello;
    UniqueFd connection_;
    const SocketAddress client_;
    std::optional<SocketAddress> local_;
    const Entrance& entrance_;
    std::array<char, 17> id_;

    Protocol protocol_ = Protocol::Unknown;
    Hello hello_;
    std::string offending_name_;
    std::string_view route_key_;  // lives as long as the routes
    RouteRule rule_ = RouteRule::Default;
    Site* site_ = nullptr;  // where it waits, or what took it; not to be used after that

    const Clock::time_point accepted_at_;
    std::optional<Clock::time_point> hello_at_;
    size_t bytes_seen_ = 0;  // by the last look at the hello
    size_t bytes_drained_ = 0;
    size_t receive_low_water_ = 1;
    bool is_watched_ = false;
    bool is_expendable_ = false;
    bool is_counted_ = false;  // in the source limits
    TimerWatcher<&Session::on_deadline> deadline_;
    TimerWatcher<&Session::on_look_again> look_again_;
};

}  // namespace proxyd
