// SPDX-License-Identifier: MIT
//
// RouteTable: which site directory a client goes to, and by which rule. A lookup costs a few hash
// lookups (one per label of the name for wildcards), however many routes there are. It knows the
// `sites` directory only through the names found in it.
// Used by decision, which also asks whether the client may use the route.
#pragma once

#include "proxyd/configured_routes.h"
#include "proxyd/decision_trace.h"
#include "proxyd/hello.h"
#include "proxyd/route.h"
#include "proxyd/sites_directory.h"

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace proxyd {

struct RouteMatch {
    const Route* route = nullptr;  // none: there is no route; lives as long as the table
    RouteRule rule = RouteRule::Default;
};

class RouteTable {
  public:
    // Borrows `sites`, which may be null.
    RouteTable(std::shared_ptr<const ConfiguredRoutes> routes, SitesDirectory* sites);
    // With routes of its own. `alpn` is the one for all names.
    RouteTable(const std::vector<RouteConfiguration>& routes, SitesDirectory* sites,
               const std::vector<AlpnRouteConfiguration>& alpn = {});

    // By name and protocol. `name` is in its plain form, "" if the client gave none; what was tried
    // goes to `trace`, if there is one.
    RouteMatch find(std::string_view name, Protocol protocol, DecisionTrace* trace = nullptr) const;
    // The one that replaces `found`, whose route may be null, for a client that offers these
    // application protocols; else `found` itself.
    RouteMatch find_by_alpn(const AlpnList& offered, RouteMatch found,
                            DecisionTrace* trace = nullptr) const;

  private:
    struct RouteToSite {
        std::string key;
        std::string directory;
        Route route;
    };
    using RoutesToSites = std::unordered_map<std::string, RouteToSite, TextHash, std::equal_to<>>;

    const Route* find_exact(std::string_view key, RouteRule rule, DecisionTrace* trace) const;
    const Route* find_wildcard(std::string_view name, DecisionTrace* trace) const;
    const Route* route_to_site(std::string_view directory) const;
    RouteMatch find_in_sites(std::string_view name, DecisionTrace* trace) const;
    bool has_site(std::string_view directory, RouteRule rule, DecisionTrace* trace) const;

    std::shared_ptr<const ConfiguredRoutes> routes_;
    SitesDirectory* sites_;
    mutable RoutesToSites from_sites_;  // those that were found so far, by their directory
    mutable std::string wildcard_;
};

}  // namespace proxyd
