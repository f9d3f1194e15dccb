// SPDX-License-Identifier: MIT
#include "proxyrun/launch_options.h"

#include "base/daemon/options.h"
#include "base/handoff/port_pair.h"
#include "proxyrun/running_proxyd.h"

#include <fmt/format.h>

#include <array>

namespace proxyd {
namespace {

constexpr std::array<Option, 9> Options = {{
    {"site", "DIR|NAME", "the site's directory; NAME means /run/proxyd/sites/NAME"},
    {"port", "EDGE[=SERVER]",
     "a port of proxyd, and the one that the server binds if it is another; repeatable; none "
     "given: 443, 80, and those of a running proxyd's listeners"},
    {"keep", "",
     "stay, hold the site's sockets so that no client is lost, and start the server again when it "
     "dies"},
    {"takeover", "", "take the place of a server that has the port already"},
    {"trace", "", "libpreload writes each of its decisions to standard error"},
    {"control", "SOCKET", "where to ask a running proxyd (default: /run/proxyd/control.sock)"},
    {"check", "", "say whether COMMAND can be started like this, and if not, why; start nothing"},
    {"help", "", "print this help, and end"},
    {"version", "", "print the version, and end"},
}};

constexpr Command ProxyrunCommand = {
    "proxyrun",
    "--site DIR|NAME [--port EDGE[=SERVER]]... [--keep] [--takeover] [--trace] -- COMMAND...\n"
    "       proxyrun --check [--site DIR|NAME] -- COMMAND...",
    "Starts COMMAND, an unmodified server, so that it takes its clients from proxyd instead of "
    "opening\na port: where it binds port SERVER, it gets those who connect to proxyd's port EDGE.",
    Options};

constexpr size_t PortsMax = 64;  // libpreload takes no more

// What is wrong with the options as a whole; "" if nothing is.
std::string problem_with(const LaunchOptions& options) {
    if (options.ports.size() > PortsMax) return fmt::format("more than {} ports", PortsMax);
    for (size_t i = 0; i < options.ports.size(); i++) {
        const auto pair = PortPair::parse(options.ports[i]);
        if (!pair)
            return fmt::format("--port {}: want EDGE or EDGE=SERVER, ports from 1 to 65535",
                               options.ports[i]);
        for (size_t j = 0; j < i; j++) {
            if (PortPair::parse(options.ports[j])->server == pair->server)
                return fmt::format("--port {}: the server's port {} is given twice",
                                   options.ports[i], pair->server);
        }
    }
    const bool is_check = options.action == LaunchOptions::Action::Check;
    if (options.site.empty() && !is_check) return "--site is missing";
    if (options.command.empty())
        return is_check ? "the program to check is missing" : "the command to start is missing";
    return "";
}

}  // namespace

Result<LaunchOptions, std::string> LaunchOptions::parse(int count, char** arguments) {
    const auto line = parse_command_line(ProxyrunCommand, count, arguments);
    if (!line) return Unexpected{line.error()};
    LaunchOptions options;
    if (line->has("help") || line->has("version")) {
        options.action = line->has("help") ? Action::Help : Action::Version;
        return options;
    }
    size_t sites = 0;
    for (const GivenOption& given : line->options) {
        if (given.name == "port") options.ports.push_back(given.argument);
        if (given.name == "site") sites++;
    }
    options.site = line->last("site", "");
    options.keeps = line->has("keep");
    options.control = line->last("control", DefaultControlSocket);
    options.takes_over = line->has("takeover");
    options.traces = line->has("trace");
    options.command = line->positional;
    if (line->has("check")) options.action = Action::Check;
    const std::string problem = sites > 1 ? "--site is given twice" : problem_with(options);
    if (!problem.empty()) return Unexpected{problem + ", see proxyrun --help"};
    return options;
}

std::string proxyrun_help() {
    return help_text(ProxyrunCommand);
}

}  // namespace proxyd
