// SPDX-License-Identifier: MIT
//
// proxyrun: puts libpreload.so and its variables into the environment of an unmodified server, and
// becomes that server.
#include "proxyrun/launch.h"
#include "proxyrun/launch_options.h"
#include "proxyrun/program_check.h"

#include <errno.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace proxyd {
namespace {

enum ExitCode { Fine = 0, SystemRefused = 1, Usage = 2, NotExecutable = 126, NotFound = 127 };

int complain(ExitCode code, const std::string& text) {
    fmt::print(stderr, "proxyrun: {}\n", text);
    return code;
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
                     const std::string& library) {
    const char* const others = getenv("LD_PRELOAD");
    const bool has_others = others != nullptr && *others != '\0';
    setenv("LD_PRELOAD", (has_others ? library + ":" + others : library).c_str(), 1);
    setenv("PROXYD_SITE", site.c_str(), 1);
    const std::string ports =
        options.ports.empty() ? "443,80" : fmt::format("{}", fmt::join(options.ports, ","));
    setenv("PROXYD_PORTS", ports.c_str(), 1);
    switch_variable("PROXYD_TAKEOVER", options.takes_over);
    switch_variable("PROXYD_TRACE", options.traces);
}

int run(const LaunchOptions& options, const std::string& program) {
    const auto site = usable_site(options.site);
    if (!site) return complain(ExitCode::SystemRefused, site.error());
    if (const std::string warning = group_warning(*site); !warning.empty())
        fmt::print(stderr, "proxyrun: warning: {}\n", warning);
    const auto library = find_library();
    if (!library) return complain(ExitCode::SystemRefused, library.error());

    set_environment(options, *site, *library);
    std::vector<char*> command;
    for (const std::string& word : options.command)
        command.push_back(const_cast<char*>(word.c_str()));
    command.push_back(nullptr);
    execv(program.c_str(), command.data());
    return complain(ExitCode::NotExecutable, fmt::format("{}: {}", program, strerror(errno)));
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
    return ExitCode::Fine;
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
