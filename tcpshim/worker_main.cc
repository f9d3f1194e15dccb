// SPDX-License-Identifier: MIT
//
// The worker's side of worker_process.h. The process is a copy of main: of what main had open only
// the worker's share stays, and none of main's objects is used or destroyed any more.
#include "base/daemon/confinement/shared_descriptors.h"
#include "base/daemon/line_log.h"
#include "base/daemon/log.h"
#include "tcpshim/access_line.h"
#include "tcpshim/resolver.h"
#include "tcpshim/sandbox.h"
#include "tcpshim/statistics_writer.h"
#include "tcpshim/worker.h"
#include "tcpshim/worker_process.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>

namespace proxyd::shim {
namespace {

constexpr auto LogRetryInterval = std::chrono::milliseconds(100);

// Of the process that has forked us, everything but these numbers is closed.
void close_all_but(std::vector<int> kept) {
    std::ranges::sort(kept);
    unsigned first = STDERR_FILENO + 1;
    for (const int fd : kept) {
        const auto number = static_cast<unsigned>(fd);
        if (number < first) continue;
        if (number > first) close_range(first, number - 1, 0);
        first = number + 1;
    }
    close_range(first, ~0U, 0);
}

Result<void, std::string> drop_to(const User& user, const Configuration& configuration) {
    const bool is_any_transparent =
        std::ranges::any_of(configuration.sites, &SiteConfiguration::is_transparent);
    constexpr std::array<int, 1> ForTransparent = {CAP_NET_RAW};
    return is_any_transparent ? drop_privileges(user, ForTransparent) : drop_privileges(user);
}

// Its clients would all be turned away, and nobody knew why; other sites' needn't be.
void tell_if_not_transparent(const Configuration& configuration) {
    const UniqueFd socket = UniqueFd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    if (setsockopt(socket.borrow().number(), IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on)) == 0)
        return;
    for (const SiteConfiguration& site : configuration.sites)
        if (site.is_transparent)
            log_error(
                "{}: is 'transparent', for which tcpshim lacks the capability CAP_NET_RAW: "
                "no client of the site can be connected",
                site.place);
}

class WorkerMain final : public Channel::Owner, private Worker::Observer {
  public:
    WorkerMain(Generation& generation, WorkerStatistics& statistics, const Elsewhere& elsewhere,
               UniqueFd channel, UniqueFd access_log, std::vector<SiteSocket> sockets)
        : generation_(generation),
          elsewhere_(elsewhere),
          configuration_(generation.configuration),
          sockets_(std::move(sockets)),
          access_log_(std::move(access_log), line_log_kind(configuration_.daemon.access_log)),
          statistics_(loop_, configuration_, statistics),
          channel_(loop_, std::move(channel), *this),
          log_retry_(loop_, *this),
          before_wait_(loop_, *this) {
        access_log_.count_losses_in(statistics.access_lines_lost());
    }

    void run() {
        if (const auto prepared = prepare(); !prepared) {
            channel_.send({{"is", "failed"}, {"why", prepared.error()}});
            return;
        }
        channel_.send({{"is", "ready"}});
        loop_.run();
        access_log_.flush();
    }

  private:
    Result<void, std::string> prepare() {
        if (const auto dropped = drop_to(generation_.user, configuration_); !dropped)
            return dropped;
        const time_t now = 0;
        tm ignored;
        gmtime_r(&now, &ignored);  // reads the time zone's file, once
        auto resolver = Resolver::create(loop_, configuration_.resolvers);
        if (!resolver) return Unexpected{resolver.error()};
        resolver_ = *std::move(resolver);
        worker_.emplace(loop_, configuration_, *resolver_, elsewhere_,
                        static_cast<Worker::Observer&>(*this));
        if (!worker_->is_open())
            return Unexpected{std::string("cannot get an epoll set: ") +
                              std::string(errno_text(errno))};
        statistics_.follow(worker_->sites());
        tell_if_not_transparent(configuration_);
        std::vector<int> numbers;
        for (const SiteSocket& socket : sockets_)
            numbers.push_back(socket.fd.borrow().number());
        return enter_sandbox(configuration_, numbers);
    }

    void on_message(Channel&, const nlohmann::json& message, UniqueFd descriptor) override {
        const std::string what = message.value("do", "");
        if (what == "go")
            worker_->start(std::move(sockets_));
        else if (what == "drain")
            drain(message.value("all", true));
        else if (what == "limit_drain")
            worker_->limit_drain();
        else if (what == "ping")
            channel_.send({{"is", "pong"}});
        else if (what == "access_log")
            access_log_.replace(std::move(descriptor));
        else if (what == "log_level")
            set_log_level(log_level_of(message.value("level", "")).value_or(log_level()));
    }

    // Main has died: who is here is served to the end, also those who are queued.
    void on_channel_end(Channel&) override {
        if (!is_draining_) log_error("the supervisor has gone: no more clients are received");
        drain(true);
    }

    void drain(bool takes_what_is_queued) {
        if (is_draining_) return;
        is_draining_ = true;
        for (SiteSocket& socket : std::exchange(sockets_, {}))
            retire_shared_descriptor(std::move(socket.fd));
        worker_->drain(takes_what_is_queued);
        channel_.send({{"is", "draining"}});
    }

    void on_connection_begin(const Site& site) noexcept override { statistics_.count_begin(site); }
    void on_connection_end(const ConnectionRecord& record) noexcept override {
        statistics_.count_end(record);
        time_.clear();
        append_time(time_);
        access_log_.add([&](std::string& out) { append(out, record); });
    }
    void on_drained() noexcept override { loop_.stop(); }

    // The journal has its own time, so its lines of text have none.
    void append(std::string& out, const ConnectionRecord& record) {
        const bool is_json = configuration_.daemon.access_log_format == AccessLogFormat::Json;
        const bool is_journal = access_log_.kind() == LineLogKind::Journal;
        message_.clear();
        std::string& line = is_journal ? message_ : out;
        if (is_json)
            append_json_line(line, time_, record);
        else
            append_text_line(line, is_journal ? "" : time_, record);
        if (!is_journal) return;
        message_.pop_back();
        append_journal_entry(out, message_, record);
    }

    void on_before_wait() noexcept {
        access_log_.flush();
        if (access_log_.has_pending() && !log_retry_.is_active())
            log_retry_.start(LogRetryInterval);
    }
    void on_log_retry() noexcept {}  // what follows is another look at the log before the wait

    Generation& generation_;
    const Elsewhere& elsewhere_;
    const Configuration& configuration_;
    std::vector<SiteSocket> sockets_;  // until "go"
    EventLoop loop_;
    LineLog access_log_;
    std::string time_, message_;  // kept for their memory
    StatisticsWriter statistics_;
    std::unique_ptr<Resolver> resolver_;
    std::optional<Worker> worker_;
    Channel channel_;
    bool is_draining_ = false;
    TimerWatcher<&WorkerMain::on_log_retry> log_retry_;
    BeforeWaitWatcher<&WorkerMain::on_before_wait> before_wait_;
};

}  // namespace

void run_worker(Generation& generation, WorkerStatistics& statistics, const Elsewhere& elsewhere,
                UniqueFd channel) {
    // What a terminal or a service manager sends to the group is for main.
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2})
        signal(number, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    prctl(PR_SET_NAME, "tcpshim-worker", 0, 0, 0);
    set_log_level(generation.configuration.daemon.log_level);
    std::vector<SiteSocket> sockets = generation.sockets.duplicate();
    UniqueFd access_log = std::move(generation.access_log);
    std::vector<int> kept = {channel.borrow().number(), access_log.borrow().number()};
    for (const SiteSocket& socket : sockets)
        kept.push_back(socket.fd.borrow().number());
    close_all_but(std::move(kept));
    {
        const UniqueFd null = UniqueFd::adopt(open("/dev/null", O_RDONLY | O_CLOEXEC));
        dup2(null.borrow().number(), STDIN_FILENO);
        WorkerMain worker(generation, statistics, elsewhere, std::move(channel),
                          std::move(access_log), std::move(sockets));
        worker.run();
    }
    _exit(0);
}

}  // namespace proxyd::shim
