// SPDX-License-Identifier: MIT
//
// Supervisor: proxyrun --keep after its start: runs the server, passes signals on to it, starts it
// again when it dies, and ends when it ends. Used by proxyrun's main(). Which ends are which:
//
// - The server ends with 0: so does proxyrun; unless it has put itself into the background, which
//   is so if a process that it leaves behind has a kept socket open (or, before anything was bound,
//   if it leaves any): that one is the server from then on.
// - It ends after SIGTERM or SIGINT, or by SIGQUIT, that came by way of proxyrun or from the
//   terminal: proxyrun ends with its exit code, 128 + N if signal N has killed it.
// - It fails in its first run before it has bound a port: a mistake on the command line or in its
//   configuration, so proxyrun ends with its exit code, too.
// - Anything else: it is started again, at once if it ran for a second, else with a growing delay.
//   What a dead server leaves behind (workers) is told to end (SIGTERM) before.
#pragma once

#include "base/daemon/directory_watch.h"
#include "base/daemon/event_loop.h"
#include "base/daemon/restart_backoff.h"
#include "proxyrun/keeper.h"
#include "proxyrun/kept_sockets.h"
#include "proxyrun/left_clients.h"
#include "proxyrun/server_process.h"

#include <signal.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

namespace proxyd {

struct SupervisorSetup {
    ServerCommand command;
    std::string site_directory;
    std::vector<std::string> port_pairs;  // EDGE[=SERVER]
};

class Supervisor final : private Keeper::Owner, private LeftClients::Owner {
  public:
    Supervisor(EventLoop& loop, KeptSockets& sockets, SupervisorSetup setup);
    Supervisor(const Supervisor&) = delete;
    Supervisor& operator=(const Supervisor&) = delete;

    // Returns the exit code of proxyrun. PROXYD_KEEPER is set here; all other variables are the
    // caller's to set.
    int run();

  private:
    // Ending: the server has ended for good; who is queued for it is handed on.
    enum class State { Running, WaitingToStart, Ending };

    void on_bind_begins() noexcept override;
    void on_bind_ended(uint16_t edge_port, int error_number) noexcept override;
    void on_clients_settled() noexcept override;
    void on_directory_change(std::string_view name) noexcept;
    void on_names_time() noexcept;
    void on_signal() noexcept;
    void on_restart_time() noexcept;
    void on_unbound_time() noexcept;
    void on_hint_time() noexcept;
    void on_stop_time() noexcept;

    bool make_keeper();
    bool watch_signals();
    void start();
    void reap();
    void server_ended(int status);
    bool has_gone_to_background();
    void start_again(const std::string& what);
    void end_what_is_left() const;
    void take_signal(int number, bool is_from_terminal);
    void begin_stop();
    void look_after_names();
    void tell_whose_place_it_is(uint16_t edge_port);
    std::set<ino_t> in_use() const;
    void end(int code);
    void try_to_end();
    void finish() noexcept;

    EventLoop& loop_;
    KeptSockets& sockets_;
    SupervisorSetup setup_;
    std::unique_ptr<Keeper> keeper_;
    State state_ = State::WaitingToStart;
    int exit_code_ = 0;
    pid_t server_ = 0;
    Clock::time_point started_at_{};
    unsigned restarts_ = 0;
    bool has_ever_bound_ = false;
    bool is_finished_ = false;
    bool must_stop_ = false;
    bool was_told_to_quit_ = false;
    unsigned hint_looks_ = 0;
    unsigned quit_looks_ = 0;
    unsigned stop_looks_ = 0;
    std::set<std::string> told_of_;  // files of other servers in this one's place
    std::set<std::string> told_of_deaf_;
    bool has_told_of_directory_ = false;
    unsigned looks_with_ports_ = 0;
    RestartBackoff backoff_;
    sigset_t mask_before_{};
    UniqueFd signals_;
    ReadWatcher<&Supervisor::on_signal> signal_watcher_;
    TimerWatcher<&Supervisor::on_restart_time> restart_timer_;
    TimerWatcher<&Supervisor::on_unbound_time> unbound_timer_;
    TimerWatcher<&Supervisor::on_hint_time> hint_timer_;
    TimerWatcher<&Supervisor::on_stop_time> stop_timer_;
    TimerWatcher<&Supervisor::on_names_time> names_timer_;
    TimerWatcher<&Supervisor::finish> end_timer_;
    LeftClients left_clients_;
    DirectoryWatch directory_watch_;
    DirectoryWatch::Subscription directory_changes_;
};

}  // namespace proxyd
