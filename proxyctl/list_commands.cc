// SPDX-License-Identifier: MIT
//
// The commands that show what there is: sites, sessions, routes, and where a client would go.
#include "base/posix/socket_address.h"
#include "proxyctl/commands.h"
#include "proxyctl/show.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace proxyd {
namespace {

Json request_for(std::string_view command, const Invocation& invocation) {
    Json request = {{"do", command}};
    if (!invocation.word().empty()) request["match"] = invocation.word();
    return request;
}

// What came, as a table; also when the end of it is missing, which has been said then.
int show_all(const Invocation& invocation, int code, const std::vector<Json>& items,
             std::string (*show)(const std::vector<Json>&)) {
    if (!invocation.is_json() && (code == Fine || !items.empty())) fmt::print("{}", show(items));
    return code;
}

std::vector<std::string> split(std::string_view list) {
    std::vector<std::string> parts;
    while (!list.empty()) {
        const size_t comma = list.find(',');
        parts.emplace_back(list.substr(0, comma));
        if (comma == list.npos) break;
        list.remove_prefix(comma + 1);
    }
    return parts;
}

// Empty: all is well.
std::string trouble_with_client(const CommandLine& line) {
    constexpr std::array<std::string_view, 6> Protocols = {"tls", "http",   "h2",
                                                           "ssh", "silent", "other"};
    const std::string_view from = line.last("from", "::1"), protocol = line.last("protocol", "tls");
    if (!SocketAddress::parse_host(from, 0))
        return fmt::format("--from {}: an IP address is allowed", from);
    if (std::ranges::find(Protocols, protocol) == Protocols.end())
        return fmt::format("--protocol {}: one of tls, http, h2, ssh, silent, other is allowed",
                           protocol);
    return "";
}

}  // namespace

int run_sites(const Invocation& invocation) {
    std::vector<Json> sites;
    const int code = ask_for_all_pages(invocation, request_for("sites", invocation),
                                       [&](const Json& item) { sites.push_back(item); });
    return show_all(invocation, code, sites, show_sites);
}

int run_routes(const Invocation& invocation) {
    std::vector<Json> routes;
    const int code = ask_for_all_pages(invocation, request_for("routes", invocation),
                                       [&](const Json& item) { routes.push_back(item); });
    return show_all(invocation, code, routes, show_routes);
}

int run_backends(const Invocation& invocation) {
    std::vector<Json> backends;
    const int code = ask_and_show(invocation, request_for("backends", invocation),
                                  [&](const Json& item) { backends.push_back(item); });
    return show_all(invocation, code, backends, show_backends);
}

int run_sessions(const Invocation& invocation) {
    const auto limit = number_option(invocation, "limit", 1, 10'000, 1000);
    if (!limit) return WrongUse;
    std::vector<Json> sessions;
    const int code = ask_and_show(invocation, {{"do", "sessions"}, {"limit", *limit}},
                                  [&](const Json& item) { sessions.push_back(item); });
    return show_all(invocation, code, sessions, show_sessions);
}

int run_explain(const Invocation& invocation) {
    const auto port = number_option(invocation, "port", 1, 65535, 443);
    if (!port) return WrongUse;
    const CommandLine& line = invocation.line;
    if (const std::string trouble = trouble_with_client(line); !trouble.empty())
        return complain(WrongUse, trouble);
    Json request = {{"do", "explain"}, {"name", invocation.word()}, {"port", *port}};
    if (line.has("from")) request["from"] = line.last("from", "");
    if (line.has("protocol")) request["protocol"] = line.last("protocol", "");
    if (line.has("alpn")) request["alpn"] = split(line.last("alpn", ""));
    return ask_and_show(invocation, request,
                        [](const Json& item) { fmt::print("{}", show_explanation(item)); });
}

}  // namespace proxyd
