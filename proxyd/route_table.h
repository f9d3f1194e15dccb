// SPDX-License-Identifier: MIT
//
// RouteTable: which site directory a client goes to, and by which rule. Built once from the
// configuration; a lookup costs a few hash lookups (one per label of the name for wildcards),
// however many routes there are. It knows the `sites` directory only through the names found in it.
#pragma once

#include "proxyd/configuration.h"
#include "proxyd/hello.h"
#include "proxyd/sites_directory.h"

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace proxyd {

// The order is the precedence.
enum class RouteRule {
    ListenerSite,
    ExactName,
    WildcardName,
    SitesExact,
    SitesWildcard,
    ProtocolClass,
    Default,
};

// The word of the access log: "exact_name", "default"...
std::string_view route_rule_word(RouteRule rule);

struct Route {
    std::string key;             // as the access log names it
    std::string site_directory;  // absolute path
    bool follows_links = true;   // false where the client's name chose the directory
};

struct RouteMatch {
    const Route* route = nullptr;  // none: there is no route; lives until the next lookup
    RouteRule rule = RouteRule::Default;
};

class RouteTable {
  public:
    // Borrows `sites`, which may be null.
    RouteTable(const std::vector<RouteConfiguration>& routes, SitesDirectory* sites);

    // `name` is in its plain form, "" if the client gave none.
    RouteMatch find(std::string_view name, Protocol protocol) const;

  private:
    struct Hash {
        using is_transparent = void;
        size_t operator()(std::string_view text) const {
            return std::hash<std::string_view>{}(text);
        }
    };
    using Map = std::unordered_map<std::string, Route, Hash, std::equal_to<>>;

    const Route* find_wildcard(std::string_view name) const;
    RouteMatch find_in_sites(std::string_view name) const;
    RouteMatch find_among_sites(std::string_view name) const;

    Map exact_;      // names, classes and "*"
    Map wildcards_;  // by the part behind "*."
    SitesDirectory* sites_;
    mutable Route from_sites_;
};

}  // namespace proxyd
