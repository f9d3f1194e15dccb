// SPDX-License-Identifier: MIT
//
// Worker: everything that happens between the listening sockets and the site sockets, on one event
// loop. main gives it listening sockets that are open and a configuration that is right.
#pragma once

#include "base/daemon/directory_watch.h"
#include "base/daemon/event_loop.h"
#include "proxyd/access_log.h"
#include "proxyd/client_poll.h"
#include "proxyd/configuration.h"
#include "proxyd/listener.h"
#include "proxyd/route_table.h"
#include "proxyd/session_table.h"
#include "proxyd/site_table.h"
#include "proxyd/sites_directory.h"

#include <memory>
#include <optional>
#include <vector>

namespace proxyd {

// The message for a `sites` that can't be opened.
std::string unreadable_sites(const Configuration& configuration, Errno why);

class Worker final : public Listener::Owner, public ClientPoll::Owner {
  public:
    // Borrows `loop`, `configuration` and `statistics`.
    Worker(EventLoop& loop, const Configuration& configuration, AccessLog access_log,
           ProcessStatistics& statistics);

    // Opens what can fail; the error is a whole message.
    Result<void, std::string> prepare();
    void start(std::vector<ListeningSocket> sockets);
    // Accepts no more, and ends the loop when the sessions in hand are through. The second time:
    // ends it now.
    void stop();
    // The same access log, opened anew.
    void reopen_access_log(UniqueFd file) { access_log_.replace(std::move(file)); }
    // Logs what has been done; after the loop has ended.
    void log_summary();

  private:
    bool make_room() override;
    void on_accept_pause(AcceptPause cause) override;
    void on_accepted(UniqueFd connection, const SocketAddress& client,
                     const Entrance& entrance) override;
    void on_client_event(uint64_t key, uint32_t epoll_events) override;
    void on_site_room(Site& site);
    bool resume_first_waiting(Site& site, sa_family_t client_family);
    void on_before_wait() noexcept;
    void on_log_retry() noexcept {}  // what follows is another look at the log before the wait
    void finish_if_done(Session& session, Session::Progress progress);

    EventLoop& loop_;
    const Configuration& configuration_;
    const size_t sessions_affordable_;
    AccessLog access_log_;
    ProcessStatistics& statistics_;
    DirectoryWatch directory_watch_;
    std::optional<SitesDirectory> sites_directory_;
    RouteTable routes_;
    IntrusiveList<Session> expendable_;
    ClientPoll clients_;
    SiteTable sites_;
    std::vector<uint8_t> peek_buffer_;
    SessionServices services_;
    SessionTable sessions_;
    std::vector<std::unique_ptr<Listener>> listeners_;
    bool is_stopping_ = false;
    TimerWatcher<&Worker::on_log_retry> log_retry_;
    BeforeWaitWatcher<&Worker::on_before_wait> before_wait_;
};

}  // namespace proxyd
