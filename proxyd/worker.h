// SPDX-License-Identifier: MIT
//
// Worker: everything that happens between the listening sockets and the site sockets, on one event
// loop, in a process of its own (worker_main.cc). It gets listening sockets that are open and a
// configuration that is right.
#pragma once

#include "base/daemon/directory_watch.h"
#include "base/daemon/event_loop.h"
#include "proxyd/access_log.h"
#include "proxyd/client_poll.h"
#include "proxyd/configuration.h"
#include "proxyd/explanation.h"
#include "proxyd/listener.h"
#include "proxyd/route_table.h"
#include "proxyd/session_table.h"
#include "proxyd/site_table.h"
#include "proxyd/sites_directory.h"
#include "proxyd/worker_reports.h"

#include <array>
#include <memory>
#include <optional>
#include <vector>

namespace proxyd {

// What main gives to one worker.
struct WorkerResources {
    std::shared_ptr<const ConfiguredRoutes> routes;
    AccessLog access_log;
    uint32_t run_number;  // different for each worker ever: part of its sessions' ids
    SourceLimits& source_limits;
    size_t source_column;  // its own in them
    ProcessStatistics& statistics;
};

// The message for a `sites` that can't be opened.
std::string unreadable_sites(const Configuration& configuration, std::string_view user, Errno why);

class Worker final : public Listener::Owner, public ClientPoll::Owner {
  public:
    // Borrows `loop` and `configuration`.
    Worker(EventLoop& loop, const Configuration& configuration, WorkerResources resources);

    // Opens what can fail; the error is a whole message. A worker that replaces another one goes
    // on without a `sites` that can't be read, until it can.
    Result<void, std::string> prepare(bool is_replacement, std::string_view user);
    void start(std::vector<ListeningSocket> sockets);
    // Accepts no more, and ends the loop when the sessions in hand are through.
    void drain();
    // Rejects the sessions in hand, and ends the loop.
    void end_now();
    bool is_draining() const { return is_draining_; }
    // For the lines from now on.
    void replace_access_log(UniqueFd file);
    void flush_log() { access_log_.flush(); }
    // What would become of a client.
    Explanation explain(const ExplainRequest& request) const;
    // What there is to report on; borrowed from the worker.
    WorkerReportSubjects report_subjects();
    // Who is told of each session's end; null: nobody.
    void follow_sessions(AccessLog::Follower* follower) { access_log_.follow(follower); }

  private:
    std::optional<AcceptPause> lack_of_room() override;
    void on_accept_pause(AcceptPause cause) override;
    void on_accepted(UniqueFd connection, const SocketAddress& client,
                     const Entrance& entrance) override;
    void on_client_event(uint64_t key, uint32_t epoll_events) override;
    void on_site_room(Site& site);
    bool is_full() const;
    void log_shortage_of_memory();
    Session* next_to_go();
    bool resume_first_waiting(Site& site, sa_family_t client_family);
    void on_before_wait() noexcept;
    void on_log_retry() noexcept {}  // what follows is another look at the log before the wait
    void finish_if_done(Session& session, Session::Progress progress);

    EventLoop& loop_;
    const Configuration& configuration_;
    const size_t sessions_max_;  // our share
    const size_t sessions_affordable_;
    AccessLog access_log_;
    ProcessStatistics& statistics_;
    DirectoryWatch directory_watch_;
    std::optional<SitesDirectory> sites_directory_;
    RouteTable routes_;
    ClosingList closing_;
    IntrusiveList<Session> expendable_;
    ClientPoll clients_;
    SiteTable sites_;
    std::vector<uint8_t> peek_buffer_;
    SessionServices services_;
    SessionTable sessions_;
    std::vector<std::unique_ptr<Listener>> listeners_;
    bool is_draining_ = false;
    Clock::time_point tells_of_memory_from_{};
    TimerWatcher<&Worker::on_log_retry> log_retry_;
    BeforeWaitWatcher<&Worker::on_before_wait> before_wait_;
};

}  // namespace proxyd
