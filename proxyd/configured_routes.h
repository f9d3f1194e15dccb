// SPDX-License-Identifier: MIT
//
// ConfiguredRoutes: the routes of a configuration, ready to be looked up. Main makes them once,
// before it forks, and all workers look at the very same memory: they are never changed. All names
// and directories are in one piece, and nothing is allocated for a single route, unless it is more
// than a directory. Used by route_table, which knows the order in which rules are tried.
#pragma once

#include "proxyd/configuration.h"
#include "proxyd/name_index.h"
#include "proxyd/route.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace proxyd {

class ConfiguredRoutes {
  public:
    // Borrows nothing. `alpn` is the one for all names.
    ConfiguredRoutes(const std::vector<RouteConfiguration>& routes,
                     const std::vector<AlpnRouteConfiguration>& alpn);
    ConfiguredRoutes(const ConfiguredRoutes&) = delete;
    ConfiguredRoutes& operator=(const ConfiguredRoutes&) = delete;

    // A key as it stands in the configuration: a name, "*.name", "@class" or "*". Null: none.
    const Route* find(std::string_view key) const;
    // The wildcard for what is below `parent`.
    const Route* find_wildcard(std::string_view parent) const;
    bool has_wildcards() const { return has_wildcards_; }
    const AlpnRoutes& alpn() const { return alpn_; }

  private:
    std::string_view keep(std::string_view text);
    Route make_route(const RouteConfiguration& configuration);

    std::string texts_;  // never grows beyond what was reserved: routes refer to it
    std::vector<Route> routes_;
    NameIndex exact_;
    NameIndex wildcards_;  // by the part behind "*."
    bool has_wildcards_ = false;
    AlpnRoutes alpn_;
};

}  // namespace proxyd
