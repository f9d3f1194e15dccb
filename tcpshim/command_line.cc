// SPDX-License-Identifier: MIT
#include "tcpshim/command_line.h"

#include "base/daemon/configuration/configuration_values.h"
#include "base/relay/backend_text.h"
#include "base/relay/configuration_file.h"
#include "base/relay/words.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace proxyd::shim {
namespace {

constexpr std::array<Option, 14> Options = {{
    {"config", "FILE", "the configuration (default: /etc/proxyd/tcpshim.json)"},
    {"site", "DIR|NAME", "instead: one site's directory; NAME means /run/proxyd/sites/NAME"},
    {"port", "EDGE", "the port that its clients come to (default: 443); may be given again"},
    {"to", "HOST:PORT", "a backend, also unix:PATH or srv:SERVICE; may be given again"},
    {"balance", "HOW", "round_robin (default), least_connections or source_hash"},
    {"proxy-protocol", "VERSION", "tell backends who the client is, in a header of version 1 or 2"},
    {"instance", "WORD", "beside other tcpshims of the site: PORT.WORD.sock, not PORT.sock"},
    {"control", "SOCKET", "the control socket, with --site (default: none)"},
    {"access-log", "WHERE", "stderr, journal or a path, with --site (default: stderr)"},
    {"log-level", "LEVEL", "error, warning, notice, info or debug, with --site"},
    {"check-config", "", "say what is wrong with the configuration, and end"},
    {"print-config", "", "print the configuration with every default filled in, and end"},
    {"help", "", "print this help, and end"},
    {"version", "", "print the version, and end"},
}};

constexpr std::array<std::string_view, 9> OfSite = {"site",    "port",           "to",
                                                    "balance", "proxy-protocol", "instance",
                                                    "control", "access-log",     "log-level"};

using Outcome = Result<void, std::string>;

template <typename... Arguments>
Unexpected<std::string> wrong(const GivenOption& option, fmt::format_string<Arguments...> format,
                              Arguments&&... arguments) {
    return Unexpected{fmt::format("--{} {}: ", option.name, printable(option.argument)) +
                      fmt::format(format, std::forward<Arguments>(arguments)...)};
}

Outcome add_port(SiteConfiguration& site, const GivenOption& option) {
    uint16_t port = 0;
    const char* const end = option.argument.data() + option.argument.size();
    const auto [rest, error] = std::from_chars(option.argument.data(), end, port);
    if (error != std::errc() || rest != end || port == 0)
        return wrong(option, "a port from 1 to 65535 is allowed");
    if (std::ranges::find(site.ports, port) != site.ports.end())
        return wrong(option, "is given twice");
    site.ports.push_back(port);
    return {};
}

Outcome add_backend(SiteConfiguration& site, const GivenOption& option) {
    auto backend = parse_backend(option.argument);
    if (!backend) return wrong(option, "{}, {} is allowed", backend.error(), BackendForms);
    if (std::ranges::find(site.backends, backend->text, &BackendConfiguration::text) !=
        site.backends.end())
        return wrong(option, "is given twice");
    site.backends.push_back(*std::move(backend));
    return {};
}

Outcome set_place(std::string& out, const GivenOption& option, std::string_view words,
                  bool is_word) {
    if (!is_word && !is_absolute_path(option.argument))
        return wrong(option, "{} or an absolute path is allowed", words);
    out = option.argument;
    return {};
}

Outcome apply(Configuration& configuration, SiteConfiguration& site, const GivenOption& option) {
    const std::string& text = option.argument;
    if (option.name == "site") {
        site.directory = site_directory_of(text);
        if (site.directory.empty())
            return wrong(option, "the absolute path of a directory, or a site's name, is allowed");
    } else if (option.name == "port") {
        return add_port(site, option);
    } else if (option.name == "to") {
        return add_backend(site, option);
    } else if (option.name == "balance") {
        const auto balance = balance_of(text);
        if (!balance) return wrong(option, "{} is allowed", BalanceForms);
        site.balance = *balance;
    } else if (option.name == "proxy-protocol") {
        if (text != "1" && text != "2") return wrong(option, "1 or 2 is allowed");
        site.proxy_protocol = text == "1" ? ProxyProtocolVersion::V1 : ProxyProtocolVersion::V2;
    } else if (option.name == "instance") {
        if (!is_instance(text)) return wrong(option, "{} is allowed", InstanceForms);
        configuration.instance = text;
    } else if (option.name == "control") {
        return set_place(configuration.daemon.control, option, "\"none\"", text == "none");
    } else if (option.name == "access-log") {
        return set_place(configuration.daemon.access_log, option, "\"stderr\", \"journal\"",
                         text == "stderr" || text == "journal");
    } else if (option.name == "log-level") {
        const auto level = log_level_of(text);
        if (!level) return wrong(option, "error, warning, notice, info or debug is allowed");
        configuration.daemon.log_level = *level;
    }
    return {};
}

}  // namespace

constinit const Command TcpshimCommand = {
    "tcpshim", "[--config FILE | --site DIR|NAME --to HOST:PORT...] [OPTION]...",
    "Relays the clients that proxyd hands over to TCP servers, here or on other machines.",
    Options};

bool describes_site(const CommandLine& line) {
    return std::ranges::any_of(OfSite, [&](std::string_view name) { return line.has(name); });
}

Result<Configuration, std::string> configuration_from(const CommandLine& line) {
    if (line.has("config"))
        return Unexpected{std::string("--config and --site, --port or --to don't go together")};
    Configuration configuration;
    configuration.daemon = default_daemon_configuration("command line", "none");
    SiteConfiguration site;
    site.place = "--site";
    for (const GivenOption& option : line.options)
        if (const auto applied = apply(configuration, site, option); !applied)
            return Unexpected{applied.error()};
    if (site.directory.empty() || site.backends.empty())
        return Unexpected{std::string("--site and --to are needed, see tcpshim --help")};
    if (site.ports.empty()) site.ports = {443};
    configuration.sites.push_back(std::move(site));
    name_sites(configuration);
    return configuration;
}

}  // namespace proxyd::shim
