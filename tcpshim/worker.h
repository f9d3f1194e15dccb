// SPDX-License-Identifier: MIT
//
// Worker: everything that happens to clients, on one event loop: the receivers of all sites, the
// connections, and the backends. It gets site sockets that are open and a configuration that is
// right; processes, signals and logs are others' business.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/relay/configuration.h"
#include "tcpshim/connect_poll.h"
#include "tcpshim/connection.h"
#include "tcpshim/elsewhere.h"
#include "tcpshim/receiver.h"
#include "tcpshim/resolver.h"

#include <memory>
#include <string>
#include <vector>

namespace proxyd::shim {

class Worker final : private Receiver::Owner, private ConnectionServices::Owner {
  public:
    class Observer {
      public:
        virtual void on_connection_begin(const Site& site) noexcept = 0;
        virtual void on_connection_end(const ConnectionRecord& record) noexcept = 0;
        // After drain(): no connection is left.
        virtual void on_drained() noexcept = 0;

      protected:
        ~Observer() = default;
    };

    // Borrows all of them. Backends' names are asked for, and backends checked, from now on.
    Worker(EventLoop& loop, const Configuration& configuration, Resolver& resolver,
           const Elsewhere& elsewhere, Observer& observer);
    ~Worker();

    // Whether the kernel has given what it takes: two epoll sets.
    bool is_open() const { return poll_.is_open() && connecting_.is_open(); }
    void start(std::vector<SiteSocket> sockets);
    // Receives no more clients; on_drained() comes when those who are here are through. With
    // `takes_what_is_queued` those who wait at the site sockets are taken first: when nobody else
    // will do it.
    void drain(bool takes_what_is_queued);
    // From now on a draining worker has drain_timeout for that.
    void limit_drain();

    const std::vector<std::unique_ptr<Site>>& sites() const { return sites_; }
    size_t connection_count() const { return connections_.size(); }
    size_t pipe_count() const { return pipes_.open_count(); }

  private:
    bool has_room_for(const SiteSocket& from) override;
    void on_client(ReceivedConnection received, const SiteSocket& from) noexcept override;
    void on_connection_end(Connection& connection,
                           const ConnectionRecord& record) noexcept override;
    void on_drain_timeout() noexcept;
    void look_for_room() noexcept;
    void rest_if_settled() noexcept;
    void on_before_wait() noexcept { closing_.close_all(); }
    void tell_if_drained();
    void tell_of_limit(Clock::time_point& told_at, const std::string& text);

    EventLoop& loop_;
    const Configuration& configuration_;
    Observer& observer_;
    Resolver& resolver_;
    const size_t connections_affordable_;
    RelayPoll poll_;
    ConnectPoll connecting_;
    PipePool pipes_;
    std::unique_ptr<uint8_t[]> buffer_;
    ClosingList closing_;
    ConnectionServices services_;
    std::vector<std::unique_ptr<Site>> sites_;
    std::vector<std::unique_ptr<Receiver>> receivers_;
    std::vector<std::unique_ptr<Connection>> connections_;  // each knows its index
    bool is_anybody_waiting_ = false, is_draining_ = false;
    // When it was last said that a limit is reached: of all sites together, of each.
    Clock::time_point told_full_at_{};
    std::vector<Clock::time_point> told_site_full_at_;
    // What workers before this one have: all of it, and of each site.
    const SharedSum elsewhere_;
    std::vector<SharedSum> site_elsewhere_;
    TimerWatcher<&Worker::on_drain_timeout> drain_timeout_;
    TimerWatcher<&Worker::look_for_room> look_again_;
    TimerWatcher<&Worker::rest_if_settled> rest_;
    BeforeWaitWatcher<&Worker::on_before_wait> before_wait_;
};

}  // namespace proxyd::shim
