// SPDX-License-Identifier: MIT
//
// tcpshim: the command line.
#include "base/daemon/exit_code.h"
#include "base/daemon/log.h"
#include "base/daemon/options.h"
#include "base/handoff/site_socket.h"
#include "tcpshim/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <optional>
#include <string>

namespace proxyd::shim {
namespace {

constexpr std::array<Option, 4> Options = {{
    {"site", "DIR", "the site's directory"},
    {"port", "EDGE", "the port that clients come to; may be given more than once"},
    {"to", "HOST:PORT", "a backend; may be given more than once"},
    {"help", "", "print this help, and end"},
}};

constexpr Command TcpshimCommand = {"tcpshim", "--site DIR --port EDGE --to HOST:PORT...",
                                    "Relays the clients that proxyd hands over to TCP servers.",
                                    Options};

int fail(ExitCode code, std::string_view text) {
    fmt::print(stderr, "tcpshim: {}\n", text);
    return code;
}

class Program final : private Worker::Observer {
  public:
    Program(EventLoop& loop, Resolver& resolver, Configuration configuration)
        : configuration_(std::move(configuration)),
          loop_(loop),
          worker_(loop_, configuration_, resolver, *this),
          terminate_(loop_, *this, SIGTERM),
          interrupt_(loop_, *this, SIGINT) {}

    int run() {
        auto sockets = open_sockets();
        if (!sockets) return fail(SystemRefused, sockets.error());
        worker_.start(*std::move(sockets));
        log_notice("ready");
        loop_.run();
        log_notice("stopped: connections={}", connections_);
        return Fine;
    }

  private:
    Result<std::vector<SiteSocket>, std::string> open_sockets() {
        std::vector<SiteSocket> sockets;
        const SiteConfiguration& site = configuration_.sites[0];
        const UniqueFd directory =
            UniqueFd::adopt(open(site.directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (!directory.is_open())
            return Unexpected{fmt::format("{}: {}", site.directory, errno_text(errno))};
        for (const uint16_t port : site.ports) {
            UniqueFd fd = UniqueFd::adopt(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
            const auto bound = bind_site_socket(fd, directory, site.directory + "/",
                                                {.port = port, .instance = {}});
            if (!bound)
                return Unexpected{fmt::format("{}/{}.sock: {}", site.directory, port,
                                              errno_text(bound.error().number))};
            sockets.push_back({std::move(fd), 0, port});
        }
        return sockets;
    }

    void on_signal() noexcept { worker_.drain(true); }
    void on_connection_begin(const Site&) noexcept override { connections_++; }
    void on_connection_end(const ConnectionRecord& record) noexcept override {
        SocketAddress::Text client, backend;
        log_info(
            "{} client={} name={} backend={} address={} attempts={} to_backend={} to_client={} "
            "connect_us={} first_to_backend_us={} first_to_client_us={} total_us={} ending={}",
            record.site, record.client.format(client), record.name, record.backend,
            record.backend_address.format(backend), record.attempts, record.bytes_to_backend,
            record.bytes_to_client, record.connect_us, record.first_to_backend_us,
            record.first_to_client_us, record.total_us, ending_word(record.ending));
    }
    void on_drained() noexcept override { loop_.stop(); }

    Configuration configuration_;
    EventLoop& loop_;
    Worker worker_;
    uint64_t connections_ = 0;
    SignalWatcher<&Program::on_signal> terminate_, interrupt_;
};

std::optional<uint16_t> port_of(std::string_view text) {
    uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc() || end != text.data() + text.size() || port == 0) return std::nullopt;
    return port;
}

int run(int argc, char** argv) {
    const auto line = parse_command_line(TcpshimCommand, argc, argv);
    if (!line) return fail(WrongUse, line.error());
    if (line->has("help")) {
        fmt::print("{}", help_text(TcpshimCommand));
        return Fine;
    }
    SiteConfiguration site;
    site.directory = line->last("site", "");
    site.name = site.directory.substr(site.directory.rfind('/') + 1);
    for (const GivenOption& option : line->options) {
        if (option.name == "port") {
            const auto port = port_of(option.argument);
            if (!port)
                return fail(WrongUse, fmt::format("--port: '{}' is no port", option.argument));
            site.ports.push_back(*port);
        } else if (option.name == "to") {
            const size_t colon = option.argument.rfind(':');
            const auto port = colon == std::string::npos
                                  ? std::nullopt
                                  : port_of(option.argument.substr(colon + 1));
            if (!port)
                return fail(WrongUse, fmt::format("--to: '{}' is not HOST:PORT", option.argument));
            BackendConfiguration backend;
            backend.text = option.argument;
            backend.host = option.argument.substr(0, colon);
            backend.port = *port;
            site.backends.push_back(std::move(backend));
        }
    }
    if (site.directory.empty() || site.ports.empty() || site.backends.empty())
        return fail(WrongUse, "--site, --port and --to are needed, see tcpshim --help");

    signal(SIGPIPE, SIG_IGN);  // splice(2) knows no MSG_NOSIGNAL
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);

    Configuration configuration;
    configuration.sites.push_back(std::move(site));
    if (const char* level = getenv("TCPSHIM_LOG"))
        if (const auto found = log_level_of(level)) set_log_level(*found);
    EventLoop loop;
    const auto resolver = Resolver::create(loop, configuration.resolvers);
    if (!resolver) return fail(SystemRefused, resolver.error());
    return Program(loop, **resolver, std::move(configuration)).run();
}

}  // namespace
}  // namespace proxyd::shim

int main(int argc, char** argv) {
    return proxyd::shim::run(argc, argv);
}
