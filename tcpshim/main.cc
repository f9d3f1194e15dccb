// SPDX-License-Identifier: MIT
//
// tcpshim: the command line; all else is the supervisor's.
#include "base/daemon/exit_code.h"
#include "base/daemon/log.h"
#include "base/daemon/process_start.h"
#include "base/relay/configuration_file.h"
#include "tcpshim/command_line.h"
#include "tcpshim/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string>

namespace proxyd::shim {
namespace {

constexpr std::string_view DefaultFile = "/etc/proxyd/tcpshim.json";

int fail(ExitCode code, std::string_view text) {
    fmt::print(stderr, "tcpshim: {}\n", text);
    return code;
}

Result<Configuration, LoadFailure> load_file(const std::string& file) {
    const auto text = read_file(file);
    if (!text)
        return Unexpected{LoadFailure{
            SystemRefused,
            {fmt::format("{}: cannot be read: {}{}", file, errno_text(text.error().number),
                         text.error().number == ENOENT ? "; --config says where it is" : "")}}};
    auto configuration = parse_configuration(*text, file);
    if (!configuration) return Unexpected{LoadFailure{WrongUse, configuration.error()}};
    return *std::move(configuration);
}

// What a start would say of the directories that it needs, without taking anything.
int check(const Configuration& configuration) {
    int code = Fine;
    // Who checks as somebody else than root need not be the one who starts it.
    const auto user = find_worker_user(configuration);
    if (!user && (geteuid() == 0 || !is_known_user(configuration.daemon.user))) {
        fmt::print(stderr, "{}\n", user.error());
        code = SystemRefused;
    }
    for (const SiteConfiguration& site : configuration.sites) {
        const UniqueFd directory =
            UniqueFd::adopt(open(site.directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (directory.is_open()) continue;
        fmt::print(stderr, "{}: cannot open {}: {}\n", site.place, site.directory,
                   errno_text(errno));
        code = SystemRefused;
    }
    if (code == Fine)
        fmt::print("{}: fine, sites: {}\n",
                   configuration.file.empty() ? "command line" : configuration.file,
                   configuration.sites.size());
    return code;
}

int run(int argc, char** argv) {
    fill_standard_descriptors();
    const auto line = parse_command_line(TcpshimCommand, argc, argv);
    if (!line) return fail(WrongUse, line.error());
    if (line->has("help")) {
        fmt::print("{}", help_text(TcpshimCommand));
        return Fine;
    }
    if (line->has("version")) {
        fmt::print("tcpshim {}\n", PROXYD_VERSION);
        return Fine;
    }
    if (!line->positional.empty())
        return fail(WrongUse,
                    fmt::format("unknown argument '{}', see tcpshim --help", line->positional[0]));
    Supervisor::Load load;
    if (describes_site(*line)) {
        const auto configuration = configuration_from(*line);
        if (!configuration) return fail(WrongUse, configuration.error());
        load = [given = *configuration]() -> Result<Configuration, LoadFailure> { return given; };
    } else {
        load = [file = std::string(line->last("config", DefaultFile))] { return load_file(file); };
    }
    if (!line->has("check-config") && !line->has("print-config")) {
        signal(SIGPIPE, SIG_IGN);  // also for splice(2), which knows no MSG_NOSIGNAL
        raise_descriptor_limit();
        auto passed = adopt_passed_sockets();
        if (!passed) return fail(SystemRefused, passed.error());
        return Supervisor(std::move(load), *std::move(passed)).run();
    }
    const auto configuration = load();
    if (!configuration) {
        for (const std::string& problem : configuration.error().problems)
            fmt::print(stderr, "{}\n", problem);
        return configuration.error().exit_code;
    }
    if (line->has("check-config")) return check(*configuration);
    fmt::print("{}\n", print_configuration(*configuration));
    return Fine;
}

}  // namespace
}  // namespace proxyd::shim

int main(int argc, char** argv) {
    return proxyd::shim::run(argc, argv);
}
