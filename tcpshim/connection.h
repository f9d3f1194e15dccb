// SPDX-License-Identifier: MIT
//
// Connection: one client from its handoff to its end: a backend is found, the client's first bytes
// go there, bytes are relayed both ways, and how it ended is told. Made by Worker, which also
// destroys it when it has told so.
//
//     New --> Connecting --> FirstBytes --> Relaying --> (gone)
//                 ^   |          |                         ^
//                 |   |          v  another backend        |
//                 +---|----------+                         |
//                     +--------------------> Refusing -----+
//
// New: whether the client has said something already is seen first, for it may go with the
// connecting (connect_attempt.h).
//
// FirstBytes: as long as the backend has said nothing, a copy of what it was sent is kept, so that
// a backend that takes a connection and drops it can be replaced by the next one, and the client
// notices nothing. Only where that can do no harm (first_bytes.h): otherwise the first backend is
// the last one.
#pragma once

#include "base/daemon/closing_list.h"
#include "base/daemon/event_loop.h"
#include "base/handoff/receive.h"
#include "base/relay/configuration.h"
#include "tcpshim/client_header.h"
#include "tcpshim/connection_record.h"
#include "tcpshim/connector.h"
#include "tcpshim/loop_guard.h"
#include "tcpshim/relay.h"
#include "tcpshim/relay_poll.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace proxyd::shim {

// A site, its backends, and how many of its clients are here.
struct Site {
    Site(EventLoop& loop, Resolver& resolver, ConnectPoll& connecting,
         const SiteConfiguration& its_configuration)
        : configuration(its_configuration), group(loop, resolver, connecting, its_configuration) {}

    const SiteConfiguration& configuration;
    BackendGroup group;
    size_t connections = 0;
    bool is_loop_told = false;
};

class Connection;

struct ConnectionServices {
    class Owner {
      public:
        // Destroys the connection.
        virtual void on_connection_end(Connection& connection,
                                       const ConnectionRecord& record) noexcept = 0;

      protected:
        ~Owner() = default;
    };

    EventLoop& loop;
    RelayPoll& poll;
    RelayServices relay;
    LoopGuard& loops;
    ClosingList& closing;
    Owner& owner;
};

class Connection final : private RelayPoll::Handler, private Connector::Owner {
  public:
    enum class State : uint8_t { New, Connecting, FirstBytes, Relaying, Refusing };

    Connection(const ConnectionServices& services, Site& site, ReceivedConnection received,
               uint16_t port);
    ~Connection();

    // The last thing that a caller does with it: it may be gone then.
    void begin();
    void end_now(Ending ending);

    State state() const { return state_; }
    Site& site() const { return site_; }
    size_t index = 0;  // the worker's

  private:
    enum class Reset : uint8_t { Nobody, Client, Backend, Both };

    void on_socket_events(Side side, uint32_t epoll_events) noexcept override;
    void on_turn() noexcept override;
    void on_connected(UniqueFd socket, BackendLease lease,
                      const SocketAddress& address) noexcept override;
    void on_no_backend(ConnectFailure failure) noexcept override;
    void on_deadline() noexcept;

    void describe(const ReceivedConnection& received, uint16_t port);
    void find_backend();
    // Of the opening.
    Bytes first_bytes() const { return opening_.bytes.subspan(header_bytes_); }
    // Takes what the client has said by now into the opening; false: it is gone.
    bool read_first_bytes();
    void send_first_bytes();
    void on_backend_in_first_bytes(uint32_t epoll_events);
    bool is_end_carried() const;
    bool may_replace_backend() const;
    void replace_backend();
    void settle();
    void relay();
    void wait_for_room(Side side);
    void end_relay(Relay::State how);
    void refuse();
    void refuse_loop();
    void drain_refused();
    void note_activity();
    void start_deadline();
    void keep_alive();
    void cut_off(Ending ending);
    void finish(Ending ending, Reset reset = Reset::Nobody);
    ConnectionRecord record(Ending ending) const;
    int64_t microseconds_since_start() const;

    const ConnectionServices& services_;
    Site& site_;
    UniqueFd client_, backend_;
    ClientDescription description_;
    std::unique_ptr<char[]> texts_;  // those of the description
    SocketAddress backend_address_;
    BackendLease lease_;
    std::unique_ptr<Connector> connector_;       // until the backend is there to stay
    std::unique_ptr<const std::string> failed_;  // those before it
    Relay relay_;
    // The PROXY protocol header and the client's first bytes: how much of them this backend has,
    // and all of them for another one.
    Opening opening_;
    std::vector<uint8_t> opening_bytes_;
    Clock::time_point started_;
    int64_t active_ms_ = 0;  // when bytes moved last, by the coarse clock
    int64_t connect_us_ = -1, first_to_backend_us_ = -1, first_to_client_us_ = -1;
    uint64_t bytes_at_last_activity_ = 0;
    uint32_t header_bytes_ = 0;
    uint32_t attempts_ = 0;
    State state_ = State::New;
    ConnectFailure failure_ = ConnectFailure::Local;
    bool was_backend_reset_ = false;  // the last one that it had
    bool is_kept_alive_ = false, is_deadline_for_half_ = false;
    bool waits_for_client_room_ = false, waits_for_backend_room_ = false;
    TimerWatcher<&Connection::on_deadline> deadline_;
};

}  // namespace proxyd::shim
