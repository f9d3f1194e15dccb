// SPDX-License-Identifier: MIT
#include "proxyd/decision.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace proxyd {
namespace {

// The reasons of a pair of lists, called after their keys.
struct ListReasons {
    std::string_view deny;
    std::string_view allow;
};
constexpr ListReasons OfListener = {"listener_deny", "listener_allow"};
constexpr ListReasons OfRoute = {"route_deny", "route_allow"};

std::string some_of(const std::vector<std::string>& texts) {
    constexpr size_t TextsMax = 4;
    const size_t count = std::min(texts.size(), TextsMax);
    std::string out =
        fmt::format("{}", fmt::join(texts.begin(), texts.begin() + static_cast<long>(count), ", "));
    if (texts.size() > count) out += fmt::format(" and {} more", texts.size() - count);
    return out;
}

std::string host_of(const SocketAddress& address) {
    SocketAddress::Text text;
    std::string host(address.format(text));
    host.resize(host.rfind(':'));
    if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
    return host;
}

void tell_of_list(DecisionTrace& trace, std::string_view reason, const char* key,
                  const CidrList& list, const SocketAddress* source, bool is_refused) {
    if (list.empty()) return;
    if (source == nullptr)
        return trace.add(reason, "", StepOutcome::Skip,
                         "{} {}: not asked, since no client address is given", key,
                         some_of(list.texts()));
    const std::string host = host_of(*source);
    const std::string_view found = list.find(*source);
    const StepOutcome outcome = is_refused ? StepOutcome::Refuse : StepOutcome::Pass;
    if (found.empty())
        trace.add(reason, host, outcome, "{} {}: {} is not in it", key, some_of(list.texts()),
                  host);
    else
        trace.add(reason, host, outcome, "{} {}: {} is in it", key, found, host);
}

// The reason of the list that refuses the client; "" if none does.
std::string_view refusing_list(const AccessLists& lists, const ListReasons& reasons,
                               const SocketAddress* source, DecisionTrace* trace) {
    const AccessVerdict verdict = source != nullptr ? lists.check(*source) : AccessVerdict::Fine;
    if (trace != nullptr) {
        const bool is_denied = verdict == AccessVerdict::Denied;
        tell_of_list(*trace, reasons.deny, "deny", lists.deny, source, is_denied);
        if (!is_denied)
            tell_of_list(*trace, reasons.allow, "allow", lists.allow, source,
                         verdict == AccessVerdict::NotAllowed);
    }
    switch (verdict) {
        case AccessVerdict::Fine:
            return "";
        case AccessVerdict::Denied:
            return reasons.deny;
        case AccessVerdict::NotAllowed:
            return reasons.allow;
    }
    return "";
}

// Clients that are told apart only for the sake of a route end without one as they would anyway:
// those that say nothing by the deadline.
Decision without_route(Protocol protocol) {
    if (protocol == Protocol::Other) return {{}, "protocol_unknown", Refusal::Malformed};
    if (protocol == Protocol::Silent) return {{}, "hello_timeout", Refusal::TooLate};
    return {{}, "no_route", Refusal::NoRoute};
}

}  // namespace

Decision decide_at_accept(const AccessLists* access, const Route& site, const SocketAddress* source,
                          DecisionTrace* trace) {
    if (access != nullptr && !access->empty())
        if (const auto reason = refusing_list(*access, OfListener, source, trace); !reason.empty())
            return {{}, reason, Refusal::Forbidden};
    if (site.site_directory.empty()) return {};
    if (trace != nullptr)
        trace->add(route_rule_word(RouteRule::ListenerSite), site.key, StepOutcome::Match,
                   "the listener's own site: {}, nothing is looked at", site.site_directory);
    return {{&site, RouteRule::ListenerSite}, "", {}};
}

Decision decide_by_hello(const RouteTable& routes, const ClientFacts& client,
                         DecisionTrace* trace) {
    const RouteMatch match = routes.find(client.name, client.protocol, trace);
    if (match.route != nullptr && match.route->options != nullptr) {
        const std::string_view reason =
            refusing_list(match.route->options->access, OfRoute, client.source, trace);
        if (!reason.empty()) return {match, reason, Refusal::Forbidden};
    }
    const RouteMatch taken = routes.find_by_alpn(client.alpn, match, trace);
    if (taken.route == nullptr) return without_route(client.protocol);
    return {taken, "", {}};
}

}  // namespace proxyd
