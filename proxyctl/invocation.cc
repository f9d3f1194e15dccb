// SPDX-License-Identifier: MIT
#include "proxyctl/invocation.h"

#include "proxyctl/commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

namespace proxyd {
namespace {

constexpr Option Control = {"control", "SOCKET",
                            "proxyd's control socket (default: /run/proxyd/control.sock)"};
constexpr Option JsonLines = {"json", "", "print objects, one in a line, for programs"};
constexpr Option Help = {"help", "", "print this help, and end"};
constexpr Option Sites = {"sites", "DIR", "where sites are (default: /run/proxyd/sites)"};

constexpr std::array<Option, 4> GlobalOptions = {{
    Control,
    JsonLines,
    Help,
    {"version", "", "print the version, and end"},
}};
constexpr std::array<Option, 3> CommonOptions = {{Control, JsonLines, Help}};
constexpr std::array<Option, 4> SessionsOptions = {{
    {"limit", "N", "show the N oldest (default: 1000, at most 10000)"},
    Control,
    JsonLines,
    Help,
}};
constexpr std::array<Option, 7> ExplainOptions = {{
    {"port", "N", "the port that the client connects to (default: 443)"},
    {"alpn", "LIST", "the application protocols that it offers, with commas: h2,http/1.1"},
    {"from", "ADDRESS", "the client's address (default: one that no list speaks of)"},
    {"protocol", "NAME", "what it speaks: tls, http, ssh... (default: http at port 80, else tls)"},
    Control,
    JsonLines,
    Help,
}};
constexpr std::array<Option, 4> EventsOptions = {{
    {"count", "N", "end after N events (default: when interrupted)"},
    Control,
    JsonLines,
    Help,
}};
constexpr std::array<Option, 5> SiteAddOptions = {{
    {"owner", "USER", "who runs the server: may receive for the name"},
    {"group", "GROUP", "proxyd's workers' group (default: as proxyd says; your own without root)"},
    Sites,
    Control,
    Help,
}};
constexpr std::array<Option, 4> SiteListOptions = {{Sites, Control, JsonLines, Help}};

constexpr std::array<Subcommand, 13> Subcommands = {{
    {"status",
     "proxyd, its configuration and its workers",
     {"proxyctl status", "[OPTION]...", "Shows proxyd, its configuration and its workers.",
      CommonOptions},
     0,
     0,
     run_status},
    {"sites",
     "who listens at each site, and who waits there",
     {"proxyctl sites", "[TEXT] [OPTION]...",
      "Shows who listens at each site, how many clients wait there, and for how long; with TEXT\n"
      "only sites with that text in their path.",
      CommonOptions},
     0,
     1,
     run_sites},
    {"sessions",
     "the clients inside proxyd at the moment",
     {"proxyctl sessions", "[OPTION]...",
      "Shows the clients that are inside proxyd at the moment, the oldest first.", SessionsOptions},
     0,
     0,
     run_sessions},
    {"routes",
     "which name goes to which site",
     {"proxyctl routes", "[TEXT] [OPTION]...",
      "Shows which name goes to which site; with TEXT only those that have it in them.",
      CommonOptions},
     0,
     1,
     run_routes},
    {"backends",
     "where tcpshim sends clients, and who of them is up",
     {"proxyctl backends", "[TEXT] [OPTION]...",
      "Shows the backends of a tcpshim, who of them is up, and what they have done; with TEXT "
      "only\n"
      "those with that text in their own or their site's name. Needs --control with tcpshim's\n"
      "socket, /run/proxyd/tcpshim.sock as a rule.",
      CommonOptions},
     0,
     1,
     run_backends},
    {"explain",
     "where a client would go, and why",
     {"proxyctl explain", "[NAME] [OPTION]...",
      "Shows where a client that asks for NAME (none: for no name) would go, each rule that is\n"
      "tried for it, and who is there now.",
      ExplainOptions},
     0,
     1,
     run_explain},
    {"events",
     "what happens, as it happens",
     {"proxyctl events", "[OPTION]...",
      "Shows what happens, as it happens: each session's end, reloads, upgrades, workers.",
      EventsOptions},
     0,
     0,
     run_events},
    {"reload",
     "put a changed configuration in force",
     {"proxyctl reload", "[OPTION]...",
      "Puts a changed configuration in force, or says all that is wrong with it.", CommonOptions},
     0,
     0,
     run_reload},
    {"upgrade",
     "replace the running program by the installed one",
     {"proxyctl upgrade", "[OPTION]...",
      "Replaces the running proxyd by the program that is installed now.", CommonOptions},
     0,
     0,
     run_upgrade},
    {"log-level",
     "how much is logged",
     {"proxyctl log-level", "[LEVEL] [OPTION]...",
      "Shows how much is logged, or changes it until the next start.", CommonOptions},
     0,
     1,
     run_log_level},
    {"metrics",
     "counters and histograms as Prometheus text",
     {"proxyctl metrics", "[OPTION]...", "Prints counters and histograms as Prometheus text.",
      CommonOptions},
     0,
     0,
     run_metrics},
    {"site add",
     "make the directory of a site",
     {"proxyctl site add", "NAME --owner USER [OPTION]...",
      "Makes the directory of a site: from then on USER's server may receive clients for NAME, a\n"
      "DNS name or a wildcard such as '*.example.org'. proxyd need not be running.",
      SiteAddOptions},
     1,
     1,
     run_site_add},
    {"site list",
     "the directories of sites, and what is wrong with them",
     {"proxyctl site list", "[OPTION]...",
      "Shows the directories of sites and what is wrong with them. proxyd need not be running.",
      SiteListOptions},
     0,
     0,
     run_site_list},
}};

// Options may stand anywhere: the table's parser ends at the first word that is none, so it is
// asked again for what comes behind that.
Result<CommandLine, std::string> parse_anywhere(const Command& command,
                                                std::vector<std::string> words) {
    CommandLine all;
    for (;;) {
        std::vector<std::string> texts = {std::string(command.name)};
        texts.insert(texts.end(), words.begin(), words.end());
        std::vector<char*> arguments;
        for (std::string& text : texts)
            arguments.push_back(text.data());
        arguments.push_back(nullptr);
        auto line = parse_command_line(command, static_cast<int>(texts.size()), arguments.data());
        if (!line) return Unexpected{line.error()};
        std::ranges::move(line->options, std::back_inserter(all.options));
        if (line->positional.empty()) return all;
        all.positional.push_back(line->positional.front());
        words.assign(line->positional.begin() + 1, line->positional.end());
    }
}

const Subcommand* find_subcommand(std::string_view word) {
    const auto* const found = std::ranges::find(Subcommands, word, &Subcommand::word);
    return found == Subcommands.end() ? nullptr : found;
}

std::string unknown_command(std::string_view word) {
    std::string known;
    for (const Subcommand& each : Subcommands)
        fmt::format_to(std::back_inserter(known), "{}{}", known.empty() ? "" : ", ", each.word);
    return fmt::format("'{}' is not a command; there are {}", word, known);
}

}  // namespace

std::span<const Subcommand> subcommands() {
    return Subcommands;
}

std::string overview() {
    constexpr Command Proxyctl = {"proxyctl", "[OPTION]... COMMAND [...]",
                                  "Asks and commands a running proxyd.", GlobalOptions};
    std::string text = help_text(Proxyctl);
    text += "\nCommands, each of which has its own --help:\n";
    for (const Subcommand& each : Subcommands)
        fmt::format_to(std::back_inserter(text), "  {:<9}  {}\n", each.word, each.brief);
    return text;
}

Result<Parsed, std::string> parse_proxyctl(const std::vector<std::string>& words) {
    constexpr Command Proxyctl = {"proxyctl", "", "", GlobalOptions};
    std::vector<std::string> texts = {"proxyctl"};
    texts.insert(texts.end(), words.begin(), words.end());
    std::vector<char*> arguments;
    for (std::string& text : texts)
        arguments.push_back(text.data());
    arguments.push_back(nullptr);
    auto global = parse_command_line(Proxyctl, static_cast<int>(texts.size()), arguments.data());
    if (!global) return Unexpected{global.error()};
    Parsed parsed;
    if (global->has("help") || global->has("version")) {
        parsed.invocation.line = *std::move(global);
        return parsed;
    }
    std::vector<std::string> rest = global->positional;
    if (rest.empty()) return Unexpected{std::string("a command is missing, see proxyctl --help")};
    std::string word = rest[0];
    rest.erase(rest.begin());
    if (word == "site" && !rest.empty() && !rest[0].starts_with('-')) {
        word += " " + rest[0];
        rest.erase(rest.begin());
    }
    parsed.subcommand = find_subcommand(word);
    if (parsed.subcommand == nullptr) return Unexpected{unknown_command(word)};
    auto line = parse_anywhere(parsed.subcommand->command, std::move(rest));
    if (!line) return Unexpected{line.error()};
    const size_t count = line->positional.size();
    if (!line->has("help") && count < parsed.subcommand->words_min)
        return Unexpected{
            fmt::format("NAME is missing, see {} --help", parsed.subcommand->command.name)};
    if (count > parsed.subcommand->words_max)
        return Unexpected{fmt::format("'{}' is too much, see {} --help",
                                      line->positional[parsed.subcommand->words_max],
                                      parsed.subcommand->command.name)};
    parsed.invocation.line = *std::move(line);
    // What stands before the command holds unless it is given behind it, too.
    auto& options = parsed.invocation.line.options;
    options.insert(options.begin(), global->options.begin(), global->options.end());
    return parsed;
}

}  // namespace proxyd
