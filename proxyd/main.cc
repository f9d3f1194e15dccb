// SPDX-License-Identifier: MIT
//
// proxyd: the command line; all else is the supervisor's.
#include "base/daemon/exit_code.h"
#include "base/daemon/log.h"
#include "base/daemon/options.h"
#include "base/daemon/process_start.h"
#include "proxyd/descriptor_room.h"
#include "proxyd/generation.h"
#include "proxyd/inherited_sockets.h"
#include "proxyd/sandbox.h"
#include "proxyd/site_warnings.h"
#include "proxyd/supervisor.h"
#include "proxyd/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

namespace proxyd {
namespace {

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

int fail_at_places(ExitCode code, const Problems& problems) {
    for (const std::string& problem : problems)
        fmt::print(stderr, "{}\n", problem);
    return code;
}

// What a start would say of the files that it needs, without taking anything.
int check(const Configuration& configuration) {
    Problems problems;
    // Who checks as somebody else than root need not be the one who starts it.
    const auto user = find_worker_user(configuration.daemon.user);
    const bool is_user_known = user && geteuid() == 0;
    const bool is_user_wrong = !is_known_user(configuration.daemon.user);
    if (is_user_wrong || (!user && geteuid() == 0))
        problems.push_back(fmt::format("{}: {}", configuration.daemon.user_place, user.error()));
    add_sites_problem(configuration, problems);
    if (!problems.empty())
        return fail_at_places(is_user_wrong ? WrongUse : SystemRefused, problems);
    raise_descriptor_limit();
    for (const auto& warnings : {warnings_of_missing_directories(configuration),
                                 warnings_of_sites(configuration, is_user_known ? &*user : nullptr),
                                 warnings_of_sessions(configuration, descriptor_limit())})
        for (const std::string& warning : warnings)
            fmt::print(stderr, "{} (a warning)\n", warning);
    fmt::print("{}: fine, listeners: {}, routes: {}\n", configuration.file,
               configuration.listeners.size(), configuration.routes.size());
    return Fine;
}

int serve(std::string file, Program program) {
    signal(SIGPIPE, SIG_IGN);  // a log whose reader has gone is no reason to die
    auto inherited = take_inherited_state();
    if (!inherited) return fail(SystemRefused, inherited.error());
    ListeningAddresses passed;
    if (!inherited->has_value()) {
        auto sockets = adopt_inherited_sockets();
        if (!sockets) return fail_at_places(SystemRefused, sockets.error());
        passed = listening_addresses_of(*std::move(sockets));
    }
    raise_descriptor_limit();
    Supervisor supervisor(std::move(file), std::move(program));
    return supervisor.run(*std::move(inherited), std::move(passed));
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
    if (!line->has("print-config") && !line->has("check-config"))
        return serve(file, Program::current(argc, argv));
    const auto text = read_configuration_text(file);
    if (!text) return fail_at_places(SystemRefused, text.error());
    const auto configuration = parse_configuration(*text, file);
    if (!configuration) return fail_at_places(WrongUse, configuration.error());
    if (line->has("check-config")) return check(*configuration);
    fmt::print("{}\n", print_configuration(*configuration));
    return Fine;
}

}  // namespace
}  // namespace proxyd

int main(int argc, char** argv) {
    return proxyd::run(argc, argv);
}
