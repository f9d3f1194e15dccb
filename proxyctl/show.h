// SPDX-License-Identifier: MIT
//
// What answers look like on a terminal: pure functions from JSON, as docs/CONTROL.md describes it,
// to text. Used by the commands.
#pragma once

#include "base/daemon/control/control_client.h"
#include "proxyctl/text.h"

#include <string>
#include <vector>

namespace proxyd {

std::string show_status(const Json& status);
// Of a tcpshim, which tells other things.
std::string show_relay_status(const Json& status);
std::string show_backends(const std::vector<Json>& backends);
std::string show_sites(const std::vector<Json>& sites);
std::string show_sessions(const std::vector<Json>& sessions);
std::string show_routes(const std::vector<Json>& routes);
std::string show_explanation(const Json& explanation);
// One line.
std::string show_event(const Json& event);

// Why proxyd's workers can't look into a site's directory; "" if they can.
std::string why_unusable(const Json& site);

// The sockets of a site at one port, a row each: file, state, queued, what is to be said of it.
std::vector<std::vector<std::string>> socket_rows(const Json& port);

}  // namespace proxyd
