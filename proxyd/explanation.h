// SPDX-License-Identifier: MIT
//
// Explanation: what would become of a client, and by which rules: the answer to `proxyctl explain`.
// A worker gives it, with the functions that decide for its sessions (decision.h). It knows neither
// who is at the site at the moment nor how near a limit is.
#pragma once

#include "proxyd/decision_trace.h"
#include "proxyd/route_table.h"
#include "proxyd/session.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace proxyd {

struct ExplainRequest {
    std::string name{};  // as a client would give it; "": none
    uint16_t port = 443;
    std::string listener{};  // "192.0.2.1:443"; "": the first one at the port that fits `from`
    std::string protocol{};  // a word of the access log; "": http at port 80, else tls
    std::vector<std::string> alpn{};  // in the client's order
    std::string from{};               // the client's address; "": anybody, so no list refuses it
};

struct Explanation {
    std::vector<DecisionStep> steps;
    bool is_rejected = true;
    std::string reason;          // a word of the access log; "no_listener": nobody can come in so
    std::string listener;        // where it would come in
    std::string route;           // as the access log names it; "": none
    std::string site_directory;  // "" if rejected
    bool follows_links = true;   // for a look at the site
    uint16_t port = 0;
};

// `listeners` are the worker's.
Explanation explain(const ExplainRequest& request, const RouteTable& routes,
                    std::span<const Entrance* const> listeners);

}  // namespace proxyd
