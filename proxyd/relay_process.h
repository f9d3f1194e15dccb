// SPDX-License-Identifier: MIT
//
// RelayProcess: the tcpshim that main runs for routes to TCP servers. It is main's child and reads
// a configuration file that main writes; a reload writes it anew and sends SIGHUP. It lives through
// reloads and upgrades of proxyd, so that no relayed connection is cut; when it dies it is started
// again, with a back-off. Used by supervisor. What the file says is relay_plan's affair.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/daemon/restart_backoff.h"
#include "base/posix/result.h"
#include "proxyd/relay_news.h"
#include "proxyd/relay_plan.h"

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace proxyd {

class RelayProcess final : RelayNews::Owner {
  public:
    class Owner {
      public:
        virtual void on_relay_settled() = 0;

      protected:
        ~Owner() = default;
    };

    RelayProcess(EventLoop& loop, Owner& owner)
        : owner_(owner),
          news_(loop, static_cast<RelayNews::Owner&>(*this)),
          restart_(loop, *this) {}

    // Those that the program before us has started, and where; 0: none takes clients.
    void adopt(pid_t pid, std::string directory, std::vector<pid_t> leaving);
    // Starts it, tells it of a change, or lets it finish what it has when there is no route for it
    // any more. The error: the file can't be written.
    Result<void, std::string> put_in_force(const RelayPlan& plan);
    // After SIGCHLD.
    void reap();

    // No more clients: it ends when it has none, or after its drain_timeout; told once.
    void stop();
    void end_now();  // without waiting for its clients
    void kill();     // without asking

    bool is_any_running() const { return pid_ != 0 || !leaving_.empty(); }
    pid_t pid() const { return pid_; }  // 0: none
    const std::string& directory() const { return plan_.directory; }
    const std::vector<pid_t>& leaving() const { return leaving_; }
    uint64_t restarts() const { return restarts_; }
    // Whether it has told how it went since it was started, or told of a change; and what is wrong:
    // why it doesn't start, or goes on with what it had before.
    bool is_settled() const { return !awaits_news_; }
    const std::vector<std::string>& problems() const { return problems_; }

  private:
    void on_relay_message(pid_t sender, const RelayMessage& message) override;
    void listen();
    void start() noexcept;
    void tell_of_change();
    void settle(std::vector<std::string> problems);
    void retire();
    void signal_all(int number) const;
    void on_end(int status);

    Owner& owner_;
    RelayNews news_;
    RelayPlan plan_;
    pid_t pid_ = 0;
    // Earlier ones, which take no more clients and relay what they have, for as long as it takes.
    std::vector<pid_t> leaving_;
    bool is_wanted_ = false;
    bool is_stopping_ = false;
    bool is_ready_ = false, awaits_news_ = false;
    bool awaits_reloading_ = false;  // what it says before that isn't the answer
    std::vector<std::string> problems_;
    uint64_t restarts_ = 0;
    Clock::time_point started_at_{};
    RestartBackoff backoff_;
    TimerWatcher<&RelayProcess::start> restart_;
};

}  // namespace proxyd
