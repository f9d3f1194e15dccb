// SPDX-License-Identifier: MIT
//
// Decision: where a client goes, or why it is rejected, from what is known of it and nothing else.
// Sessions and `proxyctl explain` ask the same two functions; explain gives a trace, which tells
// every rule that was tried and changes nothing. Without one nothing is allocated.
//
// The order: the listener's `deny` and `allow`, and its own site; the route of the name (see
// route_table.h); the route's `deny` and `allow`, which hold for all application protocols; its
// `alpn`, the `alpn` of all names, its site.
//
// What a site is like at the moment is not known here, and neither are the limits
// (source_limits.h).
#pragma once

#include "proxyd/access_lists.h"
#include "proxyd/decision_trace.h"
#include "proxyd/hello.h"
#include "proxyd/refusal.h"
#include "proxyd/route_table.h"

#include <string_view>

namespace proxyd {

struct Decision {
    // Where to go; of a rejection the route whose list refused the client, if there was one.
    RouteMatch match;
    std::string_view rejected;  // the reason, a word of the access log; "": not rejected
    Refusal refusal = Refusal::NoRoute;

    bool is_rejected() const { return !rejected.empty(); }
    // At accept: neither rejected nor sent anywhere, so the hello decides.
    bool is_open() const { return !is_rejected() && match.route == nullptr; }
};

// When a client has come in, or its address is known from a header: `access` may be null; the
// listener's own `site` has an empty site_directory if it has none. A `source` that is null stands
// for anybody: no list refuses it.
Decision decide_at_accept(const AccessLists* access, const Route& site, const SocketAddress* source,
                          DecisionTrace* trace = nullptr);

// What a client has said.
struct ClientFacts {
    std::string_view name;  // in its plain form; "" if it gave none
    Protocol protocol = Protocol::Unknown;
    const AlpnList& alpn;
    const SocketAddress* source = nullptr;  // null: anybody
};

Decision decide_by_hello(const RouteTable& routes, const ClientFacts& client,
                         DecisionTrace* trace = nullptr);

}  // namespace proxyd
