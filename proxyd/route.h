// SPDX-License-Identifier: MIT
//
// Route: a rule from what a client asks for to a site directory, and the words for the kinds of
// rules. Made by route_table; used by session, site_table and the access log.
#pragma once

#include "proxyd/access_lists.h"
#include "proxyd/alpn_list.h"

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

namespace proxyd {

// The order is the precedence, but for the ALPN rules: they replace what another rule has found.
enum class RouteRule {
    ListenerSite,
    ExactName,
    WildcardName,
    SitesExact,
    SitesWildcard,
    ProtocolClass,
    Default,
    RouteAlpn,  // the route's own `alpn`
    Alpn,       // the `alpn` for all names
};

// The word of the access log: "exact_name", "default"...
std::string_view route_rule_word(RouteRule rule);

// For maps of strings that are looked up by views.
struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

struct RouteOptions;

// Its texts are kept by who has made it, as long as it lives.
struct Route {
    std::string_view key;             // as the access log names it
    std::string_view site_directory;  // absolute path
    bool follows_links = true;        // false where the client's name chose the directory
    std::shared_ptr<const RouteOptions> options = nullptr;  // null: everybody, all protocols
};

// Where clients go that offer some application protocol.
class AlpnRoutes {
  public:
    void add(std::string_view protocol, Route route) {
        routes_.emplace(protocol, std::move(route));
    }
    bool empty() const { return routes_.empty(); }
    // The first of the client's protocols, in its order, that has a route; `protocol` is it then.
    const Route* find(const AlpnList& offered, std::string_view& protocol) const;

  private:
    std::unordered_map<std::string, Route, TextHash, std::equal_to<>> routes_;
};

// What a route says beside its site.
struct RouteOptions {
    AccessLists access;
    AlpnRoutes alpn;
};

}  // namespace proxyd
