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

}  // namespace

std::string_view route_rule_word(RouteRule rule) {
    switch (rule) {
        case RouteRule::ListenerSite:
            return "listener_site";
        case RouteRule::ExactName:
            return "exact_name";
        case RouteRule::WildcardName:
            return "wildcard_name";
        case RouteRule::SitesExact:
            return "sites_exact";
        case RouteRule::SitesWildcard:
            return "sites_wildcard";
        case RouteRule::ProtocolClass:
            return "protocol_class";
        case RouteRule::Default:
            return "default";
    }
    return "?";
}

RouteTable::RouteTable(const std::vector<RouteConfiguration>& routes, SitesDirectory* sites)
    : sites_(sites) {
    for (const RouteConfiguration& route : routes) {
        const bool is_wildcard = route.key.starts_with("*.");
        Map& map = is_wildcard ? wildcards_ : exact_;
        map.emplace(is_wildcard ? route.key.substr(2) : route.key,
                    Route{route.key, route.site_directory, true});
    }
}

RouteMatch RouteTable::find(std::string_view name, Protocol protocol) const {
    if (!name.empty()) {
        if (const auto found = exact_.find(name); found != exact_.end())
            return {&found->second, RouteRule::ExactName};
        if (const Route* found = find_wildcard(name)) return {found, RouteRule::WildcardName};
        if (const RouteMatch found = find_in_sites(name); found.route != nullptr) return found;
    }
    if (const auto found = exact_.find(protocol_class(protocol)); found != exact_.end())
        return {&found->second, RouteRule::ProtocolClass};
    if (!has_names(protocol)) return {};
    if (const auto found = exact_.find("*"); found != exact_.end())
        return {&found->second, RouteRule::Default};
    return {};
}

const Route* RouteTable::find_wildcard(std::string_view name) const {
    if (wildcards_.empty()) return nullptr;
    const Route* match = nullptr;
    any_parent(name, [&](std::string_view parent) {
        const auto found = wildcards_.find(parent);
        if (found != wildcards_.end()) match = &found->second;
        return match != nullptr;
    });
    return match;
}

RouteMatch RouteTable::find_in_sites(std::string_view name) const {
    if (sites_ == nullptr) return {};
    sites_->follow_path();
    const RouteMatch match = find_among_sites(name);
    if (match.route != nullptr && match.rule == RouteRule::SitesExact) return match;
    sites_->catch_up();
    return find_among_sites(name);
}

RouteMatch RouteTable::find_among_sites(std::string_view name) const {
    const auto match = [&](std::string_view directory, RouteRule rule) -> RouteMatch {
        from_sites_.key.assign("sites/").append(directory);
        from_sites_.site_directory.assign(sites_->path()).append("/").append(directory);
        from_sites_.follows_links = false;
        return {&from_sites_, rule};
    };
    if (sites_->has(name)) return match(name, RouteRule::SitesExact);
    RouteMatch found;
    any_parent(name, [&](std::string_view parent) {
        const std::string wildcard = std::string("*.").append(parent);
        if (sites_->has(wildcard)) found = match(wildcard, RouteRule::SitesWildcard);
        return found.route != nullptr;
    });
    return found;
}

}  // namespace proxyd
