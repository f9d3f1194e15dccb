// SPDX-License-Identifier: MIT
#include "proxyd/route.h"

namespace proxyd {

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
        case RouteRule::RouteAlpn:
            return "route_alpn";
        case RouteRule::Alpn:
            return "alpn";
    }
    return "?";
}

const Route* AlpnRoutes::find(const AlpnList& offered, std::string_view& protocol) const {
    if (routes_.empty()) return nullptr;
    const Route* match = nullptr;
    offered.find_first([&](std::string_view candidate) {
        const auto found = routes_.find(candidate);
        if (found == routes_.end()) return false;
        match = &found->second;
        protocol = candidate;
        return true;
    });
    return match;
}

}  // namespace proxyd
