// SPDX-License-Identifier: MIT
//
// proxyd: reads its configuration, opens the listening sockets, and runs a worker.
#include "base/daemon/log.h"
#include "base/daemon/options.h"
#include "proxyd/configuration.h"
#include "proxyd/metrics_http.h"
#include "proxyd/prometheus_text.h"
#include "proxyd/statistics_area.h"
#include "proxyd/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

namespace proxyd {
namespace {

enum ExitCode { Fine = 0, SystemRefused = 1, WrongUse = 2 };

constexpr std::array<Option, 5> Options = {{
    {"config", "FILE", "the configuration (default: /etc/proxyd/proxyd.json)"},
    {"check-config", "", "say what is wrong with the configuration, and end"},
    {"print-config", "", "print the configuration with every default filled in, and end"},
    {"help", "", "print this help, and end"},
    {"version", "", "print the version, and end"},
}};

constexpr Command ProxydCommand = {
    "proxyd", "[--config FILE] [--check-config | --print-config]",
    "Hands each TCP connection itself to the server that its TLS or HTTP name belongs to.",
    Options};

int fail(ExitCode code, std::string_view text) {
    fmt::print(stderr, "proxyd: {}\n", text);
    return code;
}

Result<std::string> read_file(const std::string& path) {
    const UniqueFd file = UniqueFd::adopt(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.is_open()) return Unexpected{Errno::last()};
    std::string text;
    std::array<char, 65536> buffer;
    for (;;) {
        const ssize_t size = read(file.borrow().number(), buffer.data(), buffer.size());
        if (size < 0) return Unexpected{Errno::last()};
        if (size == 0) return text;
        text.append(buffer.data(), static_cast<size_t>(size));
    }
}

// Whoever starts us with descriptors 0 to 2 closed would find what we open next in their place, and
// log lines in it.
void fill_standard_descriptors() {
    while (true) {
        UniqueFd null = UniqueFd::adopt(open("/dev/null", O_RDWR));
        if (!null.is_open() || null.borrow().number() > STDERR_FILENO) return;
        (void)null.release();
    }
}

// Clients are descriptors: take as many as the system lets us have.
void raise_descriptor_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

// Site directories may come later; but a typing error looks the same.
std::vector<std::string> warnings_of_missing_sites(const Configuration& configuration) {
    std::vector<std::string> warnings;
    for (const RouteConfiguration& route : configuration.routes) {
        struct stat status;
        const bool is_there = stat(route.site_directory.c_str(), &status) == 0;
        if (is_there && !S_ISDIR(status.st_mode)) errno = ENOTDIR;
        if (!is_there || !S_ISDIR(status.st_mode))
            warnings.push_back(fmt::format(
                "{}:{}: routes.{}: {}: {}; clients wait until it is there", configuration.file,
                route.line, route.key, route.site_directory, errno_text(errno)));
    }
    return warnings;
}

void add_sites_problem(const Configuration& configuration, std::vector<std::string>& problems) {
    if (configuration.sites.empty()) return;
    const UniqueFd sites =
        UniqueFd::adopt(open(configuration.sites.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!sites.is_open()) problems.push_back(unreadable_sites(configuration, Errno::last()));
}

Result<UniqueFd> open_access_log(const Configuration& configuration,
                                 std::vector<std::string>& problems) {
    // No new file for a start that has failed already.
    Result<UniqueFd> log = open_access_log(configuration, problems.empty());
    if (!log && (problems.empty() || log.error().number != ENOENT))
        problems.push_back(fmt::format("{}: cannot open {}: {}", configuration.access_log_place,
                                       configuration.access_log, errno_text(log.error().number)));
    return log;
}

// Not open if nobody wants it.
UniqueFd open_metrics_socket(const Configuration& configuration,
                             std::vector<std::string>& problems) {
    if (configuration.metrics.text.empty() || !problems.empty()) return {};
    Result<UniqueFd, std::string> socket = bind_metrics_socket(configuration.metrics);
    if (socket) return *std::move(socket);
    problems.push_back(socket.error());
    return {};
}

int fail_at_places(const std::vector<std::string>& problems) {
    for (const std::string& problem : problems)
        fmt::print(stderr, "{}\n", problem);
    return SystemRefused;
}

// Owns the worker and turns signals into calls.
class Daemon final : public MetricsHttp::Owner {
  public:
    Daemon(const Configuration& configuration, UniqueFd access_log, StatisticsArea& statistics)
        : configuration_(configuration),
          statistics_(statistics),
          worker_(loop_, configuration,
                  AccessLog(std::move(access_log), access_log_kind(configuration),
                            configuration.access_log_format),
                  statistics.own()),
          terminate_(loop_, *this, SIGTERM),
          interrupt_(loop_, *this, SIGINT),
          hangup_(loop_, *this, SIGHUP),
          user_signal_(loop_, *this, SIGUSR1) {}

    int run(std::vector<ListeningSocket> sockets, UniqueFd metrics_socket) {
        if (metrics_socket.is_open()) {
            auto metrics = MetricsHttp::create(loop_, std::move(metrics_socket), *this);
            if (!metrics)
                return fail_at_places(
                    {fmt::format("{}: cannot serve at {}: {}", configuration_.metrics.place,
                                 configuration_.metrics.text, errno_text(metrics.error().number))});
            metrics_ = *std::move(metrics);
        }
        if (const auto prepared = worker_.prepare(); !prepared)
            return fail_at_places({prepared.error()});
        if (const auto listening = start_listening(sockets); !listening)
            return fail_at_places({listening.error()});
        worker_.start(std::move(sockets));
        log_notice("ready: version {}, process {}", PROXYD_VERSION, getpid());
        loop_.run();
        worker_.log_summary();
        remove_metrics_socket(configuration_.metrics);
        return Fine;
    }

  private:
    std::string metrics_text() override {
        ServiceState service;
        service.version = PROXYD_VERSION;
        service.started_at = service.configured_at = started_at_;
        service.workers_serving = 1;
        service.workers = {process_figures(getpid())};
        return prometheus_text(statistics_.snapshot(), service);
    }
    void on_stop() noexcept { worker_.stop(); }
    void on_hangup() noexcept { log_notice("reload (SIGHUP) is not there yet"); }
    void on_reopen() noexcept {
        Result<UniqueFd> file = open_access_log(configuration_, true);
        if (!file) {
            log_error("access log: cannot open {} anew: {}; the old one is kept",
                      configuration_.access_log, errno_text(file.error().number));
            return;
        }
        worker_.reopen_access_log(*std::move(file));
        log_notice("access log: {} is open anew", configuration_.access_log);
    }

    const Configuration& configuration_;
    StatisticsArea& statistics_;
    const ServiceState::Time started_at_ = std::chrono::system_clock::now();
    EventLoop loop_;
    std::unique_ptr<MetricsHttp> metrics_;
    Worker worker_;
    SignalWatcher<&Daemon::on_stop> terminate_;
    SignalWatcher<&Daemon::on_stop> interrupt_;
    SignalWatcher<&Daemon::on_hangup> hangup_;
    SignalWatcher<&Daemon::on_reopen> user_signal_;
};

// What a start would say of the files that it needs, without taking anything.
int check(const Configuration& configuration) {
    std::vector<std::string> problems;
    add_sites_problem(configuration, problems);
    if (!problems.empty()) return fail_at_places(problems);
    for (const std::string& warning : warnings_of_missing_sites(configuration))
        fmt::print(stderr, "{} (a warning)\n", warning);
    fmt::print("{}: fine, listeners: {}, routes: {}\n", configuration.file,
               configuration.listeners.size(), configuration.routes.size());
    return Fine;
}

int serve(const Configuration& configuration) {
    signal(SIGPIPE, SIG_IGN);  // a log whose reader has gone is no reason to die
    set_log_level(configuration.log_level);
    raise_descriptor_limit();
    std::vector<std::string> problems;
    std::vector<ListeningSocket> sockets = bind_listening_sockets(configuration, problems);
    add_sites_problem(configuration, problems);
    Result<UniqueFd> access_log = open_access_log(configuration, problems);
    UniqueFd metrics_socket = open_metrics_socket(configuration, problems);
    if (!problems.empty() || !access_log) return fail_at_places(problems);
    for (const std::string& warning : warnings_of_missing_sites(configuration))
        log_warning("{}", warning);
    Result<StatisticsArea> statistics = StatisticsArea::create();
    if (!statistics)
        return fail(SystemRefused, fmt::format("cannot share memory for statistics: {}",
                                               errno_text(statistics.error().number)));
    Daemon daemon(configuration, *std::move(access_log), *statistics);
    return daemon.run(std::move(sockets), std::move(metrics_socket));
}

int run(int argc, char** argv) {
    fill_standard_descriptors();
    const auto line = parse_command_line(ProxydCommand, argc, argv);
    if (!line) return fail(WrongUse, line.error());
    if (line->has("help")) {
        fmt::print("{}", help_text(ProxydCommand));
        return Fine;
    }
    if (line->has("version")) {
        fmt::print("proxyd {}\n", PROXYD_VERSION);
        return Fine;
    }
    if (!line->positional.empty())
        return fail(WrongUse,
                    fmt::format("unknown argument '{}', see proxyd --help", line->positional[0]));

    const std::string file(line->last("config", "/etc/proxyd/proxyd.json"));
    const Result<std::string> text = read_file(file);
    if (!text)
        return fail(SystemRefused,
                    fmt::format("{}: cannot be read: {}", file, errno_text(text.error().number)));
    const auto configuration = parse_configuration(*text, file);
    if (!configuration) {
        for (const std::string& error : configuration.error())
            fmt::print(stderr, "{}\n", error);
        return WrongUse;
    }
    if (line->has("print-config")) {
        fmt::print("{}\n", print_configuration(*configuration));
        return Fine;
    }
    if (line->has("check-config")) return check(*configuration);
    return serve(*configuration);
}

}  // namespace
}  // namespace proxyd

int main(int argc, char** argv) {
    return proxyd::run(argc, argv);
}
