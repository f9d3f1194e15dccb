// SPDX-License-Identifier: MIT
#include "proxyd/route_table.h"

namespace proxyd {
namespace {

// Calls `found` with every part of `name` behind a dot, longest first, until it says true.
template <typename Found>
bool any_parent(std::string_view name, Found found) {
    for (size_t dot = name.find('.'); dot != name.npos; dot = name.find('.')) {
        name.remove_prefix(dot + 1);
        if (found(name)) return true;
    }
    return false;
}

// "exact name", as sentences call it.
std::string_view words_of(RouteRule rule) {
    switch (rule) {
        case RouteRule::ExactName:
            return "exact name";
        case RouteRule::WildcardName:
            return "wildcard";
        case RouteRule::ProtocolClass:
            return "protocol class";
        default:
            return "default";
    }
}

void tell(DecisionTrace* trace, RouteRule rule, std::string_view key, const Route* route) {
    if (trace == nullptr) return;
    if (route != nullptr)
        trace->add(route_rule_word(rule), key, StepOutcome::Match, "{} {}: matches, site {}",
                   words_of(rule), key, route->site_directory);
    else
        trace->add(route_rule_word(rule), key, StepOutcome::NoMatch, "{} {}: no such route",
                   words_of(rule), key);
}

}  // namespace

RouteTable::RouteTable(std::shared_ptr<const ConfiguredRoutes> routes, SitesDirectory* sites)
    : routes_(std::move(routes)), sites_(sites) {}

RouteTable::RouteTable(const std::vector<RouteConfiguration>& routes, SitesDirectory* sites,
                       const std::vector<AlpnRouteConfiguration>& alpn)
    : RouteTable(std::make_shared<ConfiguredRoutes>(routes, alpn), sites) {}

RouteMatch RouteTable::find(std::string_view name, Protocol protocol, DecisionTrace* trace) const {
    if (!name.empty() && has_names(protocol)) {
        if (const Route* found = find_exact(name, RouteRule::ExactName, trace))
            return {found, RouteRule::ExactName};
        if (const Route* found = find_wildcard(name, trace))
            return {found, RouteRule::WildcardName};
        if (const RouteMatch found = find_in_sites(name, trace); found.route != nullptr)
            return found;
    } else if (trace != nullptr) {
        trace->add("exact_name", "", StepOutcome::Skip,
                   "names: not looked up, since the client gives none");
    }
    if (const std::string_view key = protocol_class(protocol); !key.empty())
        if (const Route* found = find_exact(key, RouteRule::ProtocolClass, trace))
            return {found, RouteRule::ProtocolClass};
    if (!has_names(protocol)) {
        if (trace != nullptr)
            trace->add("default", "*", StepOutcome::Skip,
                       "route *: only for protocols that have names");
        return {};
    }
    if (const Route* found = find_exact("*", RouteRule::Default, trace))
        return {found, RouteRule::Default};
    return {};
}

const Route* RouteTable::find_exact(std::string_view key, RouteRule rule,
                                    DecisionTrace* trace) const {
    const Route* const route = routes_->find(key);
    tell(trace, rule, key, route);
    return route;
}

const Route* RouteTable::find_wildcard(std::string_view name, DecisionTrace* trace) const {
    if (!routes_->has_wildcards() && trace == nullptr) return nullptr;
    const Route* match = nullptr;
    any_parent(name, [&](std::string_view parent) {
        match = routes_->find_wildcard(parent);
        if (trace != nullptr)
            tell(trace, RouteRule::WildcardName, fmt::format("*.{}", parent), match);
        return match != nullptr;
    });
    return match;
}

RouteMatch RouteTable::find_in_sites(std::string_view name, DecisionTrace* trace) const {
    if (sites_ == nullptr) return {};
    sites_->follow_path();
    if (!sites_->has(name)) sites_->catch_up();
    if (has_site(name, RouteRule::SitesExact, trace))
        return {route_to_site(name), RouteRule::SitesExact};
    RouteMatch found;
    any_parent(name, [&](std::string_view parent) {
        wildcard_.assign("*.").append(parent);
        if (has_site(wildcard_, RouteRule::SitesWildcard, trace))
            found = {route_to_site(wildcard_), RouteRule::SitesWildcard};
        return found.route != nullptr;
    });
    return found;
}

// Made once for each directory that clients came to; there are no more of them than directories.
const Route* RouteTable::route_to_site(std::string_view directory) const {
    auto found = from_sites_.find(directory);
    if (found == from_sites_.end()) {
        found = from_sites_.try_emplace(std::string(directory)).first;
        RouteToSite& made = found->second;
        made.key = fmt::format("sites/{}", directory);
        made.directory = fmt::format("{}/{}", sites_->path(), directory);
        made.route = Route{made.key, made.directory, false};
    }
    return &found->second.route;
}

bool RouteTable::has_site(std::string_view directory, RouteRule rule, DecisionTrace* trace) const {
    const bool is_there = sites_->has(directory);
    if (trace != nullptr)
        trace->add(route_rule_word(rule), directory,
                   is_there ? StepOutcome::Match : StepOutcome::NoMatch, "{} {}/{}: {}",
                   rule == RouteRule::SitesExact ? "directory" : "wildcard directory",
                   sites_->path(), directory, is_there ? "is there" : "is not there");
    return is_there;
}

RouteMatch RouteTable::find_by_alpn(const AlpnList& offered, RouteMatch found,
                                    DecisionTrace* trace) const {
    const auto ask = [&](const AlpnRoutes& routes, RouteRule rule, std::string_view where) {
        std::string_view protocol;
        const Route* const route = routes.find(offered, protocol);
        if (trace != nullptr && !routes.empty()) {
            std::string all;
            offered.find_first([&all](std::string_view each) {
                all.append(all.empty() ? "" : ",").append(each);
                return false;
            });
            if (route != nullptr)
                trace->add(route_rule_word(rule), protocol, StepOutcome::Match,
                           "{}: {} matches, site {}", where, protocol, route->site_directory);
            else
                trace->add(route_rule_word(rule), all, StepOutcome::NoMatch, "{}: {}", where,
                           offered.is_empty() ? "the client offers no protocol"
                                              : "has none of the client's protocols");
        }
        return route;
    };
    if (found.route != nullptr && found.route->options != nullptr)
        if (const Route* route =
                ask(found.route->options->alpn, RouteRule::RouteAlpn, "alpn of the route"))
            return {route, RouteRule::RouteAlpn};
    if (const Route* route = ask(routes_->alpn(), RouteRule::Alpn, "alpn of all names"))
        return {route, RouteRule::Alpn};
    return found;
}

}  // namespace proxyd
