// SPDX-License-Identifier: MIT
//
// proxyrun: puts libpreload.so and its variables into the environment of an unmodified server, and
// becomes that server; or stays as its supervisor, and the keeper of its sockets.
#include "base/daemon/event_loop.h"
#include "proxyrun/group_warning.h"
#include "proxyrun/kept_sockets.h"
#include "proxyrun/launch.h"
#include "proxyrun/launch_options.h"
#include "proxyrun/live_neighbour.h"
#include "proxyrun/port_hint.h"
#include "proxyrun/program_check.h"
#include "proxyrun/running_proxyd.h"
#include "proxyrun/server_process.h"
#include "proxyrun/service_sockets.h"
#include "proxyrun/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

namespace proxyd {
namespace {

enum ExitCode { Fine = 0, SystemRefused = 1, Usage = 2, NotExecutable = 126, NotFound = 127 };

int complain(ExitCode code, const std::string& text) {
    fmt::print(stderr, "proxyrun: {}\n", text);
    return code;
}

void say(std::string_view kind, const std::string& text) {
    if (!text.empty()) fmt::print(stderr, "proxyrun: {}: {}\n", kind, text);
}

ExitCode exit_code_of(ProgramVerdict::Kind kind) {
    switch (kind) {
        case ProgramVerdict::Kind::Works:
            return ExitCode::Fine;
        case ProgramVerdict::Kind::CannotWork:
            return ExitCode::SystemRefused;
        case ProgramVerdict::Kind::NotFound:
            return ExitCode::NotFound;
        case ProgramVerdict::Kind::NotExecutable:
            return ExitCode::NotExecutable;
    }
    return ExitCode::SystemRefused;
}

// The command line decides, not what was in the environment before.
void switch_variable(const char* name, bool is_on) {
    if (is_on)
        setenv(name, "1", 1);
    else
        unsetenv(name);
}

void set_environment(const LaunchOptions& options, const std::string& site,
                     const std::string& library, const std::vector<std::string>& ports) {
    const char* const others = getenv("LD_PRELOAD");
    const bool has_others = others != nullptr && *others != '\0';
    setenv("LD_PRELOAD", (has_others ? library + ":" + others : library).c_str(), 1);
    setenv("PROXYD_SITE", site.c_str(), 1);
    setenv("PROXYD_PORTS", fmt::format("{}", fmt::join(ports, ",")).c_str(), 1);
    switch_variable("PROXYD_TAKEOVER", options.takes_over);
    switch_variable("PROXYD_TRACE", options.traces);
    unsetenv("PROXYD_KEEPER");
    unsetenv("PROXYD_SOCKETS");
}

// EDGE[=SERVER], as given, or by default those where the site's clients may come in.
std::vector<std::string> ports_of(const LaunchOptions& options, const RunningProxyd& proxyd,
                                  const std::string& site,
                                  const std::vector<ServiceSocket>& sockets) {
    if (!options.ports.empty()) return options.ports;
    std::vector<uint16_t> ports = proxyd.edge_ports_of(site);
    for (const ServiceSocket& socket : sockets)
        ports.push_back(socket.edge_port);
    std::sort(ports.begin(), ports.end());
    ports.erase(std::unique(ports.begin(), ports.end()), ports.end());
    std::vector<std::string> texts;
    for (const uint16_t port : ports)
        texts.push_back(std::to_string(port));
    return texts;
}

// Leaves them open for the server, which is told so by PROXYD_SOCKETS.
void pass_on(std::vector<ServiceSocket> sockets) {
    if (sockets.empty()) return;
    std::vector<std::string> words;
    for (ServiceSocket& socket : sockets) {
        const int number = socket.socket.release();
        fcntl(number, F_SETFD, 0);
        words.push_back(fmt::format("{}={}", socket.edge_port, number));
    }
    setenv("PROXYD_SOCKETS", fmt::format("{}", fmt::join(words, ",")).c_str(), 1);
}

int stay_as_keeper(const ServerCommand& command, const std::string& site,
                   const std::vector<std::string>& ports, std::vector<ServiceSocket> sockets) {
    auto kept = KeptSockets::in(site);
    if (!kept)
        return complain(ExitCode::SystemRefused,
                        fmt::format("{}: {}", site, strerror(kept.error().number)));
    for (ServiceSocket& socket : sockets)
        kept->adopt(std::move(socket.socket), socket.edge_port);
    EventLoop loop;
    Supervisor supervisor(loop, *kept, {command, site, ports});
    return supervisor.run();
}

int become_server(const ServerCommand& command, const std::string& site,
                  const std::vector<std::string>& ports, std::vector<ServiceSocket> sockets) {
    pass_on(std::move(sockets));
    watch_for_port_hint(site, ports);
    execv(command.program.c_str(), command.arguments().data());
    return complain(ExitCode::NotExecutable,
                    fmt::format("{}: {}", command.program, strerror(errno)));
}

void warn_of_site(const LaunchOptions& options, const std::string& site,
                  const RunningProxyd& proxyd) {
    say("warning", group_warning(site, proxyd.user));
    say("warning", proxyd.edge_warning(site, options.ports));
}

int run(const LaunchOptions& options, const std::string& program) {
    const auto site = usable_site(options.site, options.control);
    if (!site) return complain(ExitCode::SystemRefused, site.error());
    const auto library = find_library();
    if (!library) return complain(ExitCode::SystemRefused, library.error());
    auto sockets = adopt_service_sockets(*site);
    if (!sockets) return complain(ExitCode::SystemRefused, sockets.error());
    const RunningProxyd proxyd = RunningProxyd::ask(options.control);
    warn_of_site(options, *site, proxyd);
    const std::vector<std::string> ports = ports_of(options, proxyd, *site, *sockets);
    // A supervisor knows whether bind has failed.
    if (!options.takes_over && !options.keeps) say("note", live_neighbour_note(*site, ports));
    set_environment(options, *site, *library, ports);
    const ServerCommand command{program, options.command};
    return options.keeps ? stay_as_keeper(command, *site, ports, std::move(*sockets))
                         : become_server(command, *site, ports, std::move(*sockets));
}

// The program is fine; whether the site is, if there is one.
int check_site(const LaunchOptions& options) {
    if (options.site.empty()) return ExitCode::Fine;
    const auto site = usable_site(options.site, options.control);
    if (!site) return complain(ExitCode::SystemRefused, site.error());
    warn_of_site(options, *site, RunningProxyd::ask(options.control));
    return ExitCode::Fine;
}

int check_or_run(const LaunchOptions& options) {
    const std::string name = options.command[0];
    const auto program = find_program(name);
    if (!program) return complain(ExitCode::NotFound, name + ": not found");
    const ProgramVerdict verdict = check_program(*program);
    if (verdict.kind != ProgramVerdict::Kind::Works)
        return complain(exit_code_of(verdict.kind), verdict.text);
    if (options.action == LaunchOptions::Action::Run) return run(options, *program);
    fmt::print("{}\n", verdict.text);
    if (!verdict.note.empty()) fmt::print("note: {}\n", verdict.note);
    return check_site(options);
}

int start(int count, char** arguments) {
    const auto options = LaunchOptions::parse(count, arguments);
    if (!options) return complain(ExitCode::Usage, options.error());
    switch (options->action) {
        case LaunchOptions::Action::Help:
            fmt::print("{}", proxyrun_help());
            return ExitCode::Fine;
        case LaunchOptions::Action::Version:
            fmt::print("proxyrun " PROXYD_VERSION "\n");
            return ExitCode::Fine;
        case LaunchOptions::Action::Check:
        case LaunchOptions::Action::Run:
            return check_or_run(*options);
    }
    return ExitCode::Usage;
}

}  // namespace
}  // namespace proxyd

int main(int count, char** arguments) {
    return proxyd::start(count, arguments);
}
