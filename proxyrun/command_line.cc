// SPDX-License-Identifier: MIT
#include "proxyrun/command_line.h"

#include <fmt/format.h>
#include <getopt.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace proxyd {

const char* const HelpText =
    R"(Usage: proxyrun --site DIR|NAME [--port EDGE[=SERVER]]... [--takeover] [--trace] -- COMMAND...
       proxyrun --check PROGRAM

Starts COMMAND, an unmodified server, so that it takes its clients from proxyd instead of opening
a port: where it binds port SERVER, it gets those who connect to proxyd's port EDGE.

  --site DIR|NAME       the site's directory; NAME means /run/proxyd/sites/NAME
  --port EDGE[=SERVER]  a port, and the one that the server binds if it is another; repeatable;
                        none given: 443 and 80
  --takeover            take the place of a server that has the port already
  --trace               libpreload writes each of its decisions to standard error
  --check PROGRAM       say whether PROGRAM can be started like this, and if not, why
  --help                this text
  --version             the version
)";

namespace {

enum Option { Site = 1, Port, Takeover, Trace, Check, Help, Version };

constexpr option Options[] = {
    {"site", required_argument, nullptr, Option::Site},
    {"port", required_argument, nullptr, Option::Port},
    {"takeover", no_argument, nullptr, Option::Takeover},
    {"trace", no_argument, nullptr, Option::Trace},
    {"check", required_argument, nullptr, Option::Check},
    {"help", no_argument, nullptr, Option::Help},
    {"version", no_argument, nullptr, Option::Version},
    {nullptr, 0, nullptr, 0},
};

constexpr size_t PortsMax = 64;  // libpreload takes no more

std::optional<uint16_t> parse_port(std::string_view text) {
    uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc() || end != text.data() + text.size() || port == 0) return std::nullopt;
    return port;
}

// The port that the server binds.
std::optional<uint16_t> server_port_of(std::string_view pair) {
    const size_t equals = pair.find('=');
    const auto edge = parse_port(pair.substr(0, equals));
    if (!edge || equals == pair.npos) return edge;
    return parse_port(pair.substr(equals + 1));
}

// What is wrong with the options as a whole; "" if nothing is.
std::string problem_with(const CommandLine& line) {
    if (line.ports.size() > PortsMax) return fmt::format("more than {} ports", PortsMax);
    for (size_t i = 0; i < line.ports.size(); i++) {
        const auto server = server_port_of(line.ports[i]);
        if (!server)
            return fmt::format("--port {}: want EDGE or EDGE=SERVER, ports from 1 to 65535",
                               line.ports[i]);
        for (size_t j = 0; j < i; j++) {
            if (server_port_of(line.ports[j]) == server)
                return fmt::format("--port {}: the server's port {} is given twice", line.ports[i],
                                   *server);
        }
    }
    if (line.action != CommandLine::Action::Run) return "";
    if (line.site.empty()) return "--site is missing";
    if (line.command.empty()) return "the command to start is missing";
    return "";
}

}  // namespace

Result<CommandLine, std::string> CommandLine::parse(int count, char** arguments) {
    CommandLine line;
    opterr = 0;
    while (true) {
        const int option = getopt_long(count, arguments, "+:", Options, nullptr);
        if (option == -1) break;
        switch (option) {
            case Option::Site:
                line.site = optarg;
                break;
            case Option::Port:
                line.ports.emplace_back(optarg);
                break;
            case Option::Takeover:
                line.takes_over = true;
                break;
            case Option::Trace:
                line.traces = true;
                break;
            case Option::Check:
                line.action = Action::Check;
                line.command = {optarg, nullptr};
                break;
            case Option::Help:
                line.action = Action::Help;
                return line;
            case Option::Version:
                line.action = Action::Version;
                return line;
            case ':':
                return Unexpected{fmt::format("{} needs a value", arguments[optind - 1])};
            default:
                return Unexpected{fmt::format("unknown option {}", arguments[optind - 1])};
        }
    }
    if (line.action == Action::Run && optind < count) {
        line.command.assign(arguments + optind, arguments + count);
        line.command.push_back(nullptr);
    } else if (line.action == Action::Check && optind < count) {
        return Unexpected{
            fmt::format("--check takes one program, and here is {}", arguments[optind])};
    }
    std::string problem = problem_with(line);
    if (!problem.empty()) return Unexpected{std::move(problem)};
    return line;
}

}  // namespace proxyd
