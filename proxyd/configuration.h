// SPDX-License-Identifier: MIT
//
// Configuration: what the file says, as a plain value with every default filled in; its keys are
// described in docs/CONFIGURATION.md. Reading it touches nothing but the file itself.
#pragma once

#include "base/daemon/configuration/cidr_list.h"
#include "base/daemon/configuration/configuration_reader.h"
#include "base/daemon/configuration/daemon_configuration.h"
#include "base/posix/result.h"
#include "base/posix/socket_address.h"
#include "base/relay/configuration_file.h"
#include "proxyd/access_lists.h"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace proxyd {

// Which clients have a PROXY protocol header in front of their hello.
struct ProxyProtocol {
    bool is_from_all = false;  // true
    CidrList sources;          // a list: those that must have one, others may not

    bool is_off() const { return !is_from_all && sources.empty(); }
};

struct ListenerConfiguration {
    std::string address_text;              // as written: ":443"
    std::vector<SocketAddress> addresses;  // one, or both wildcards
    std::string site;                      // its own site directory; "" if routes decide
    // The TCP servers that tcpshim relays its clients to; the site is tcpshim's then. Null: none.
    std::shared_ptr<const shim::SiteConfiguration> relay = nullptr;
    std::string place;   // "file:line: listen[0]", for messages
    AccessLists access;  // who may come in there
    ProxyProtocol proxy_protocol;
};

// Where clients go that offer an application protocol (ALPN).
struct AlpnRouteConfiguration {
    std::string protocol;  // raw bytes: "acme-tls/1"
    std::string site_directory;
    int line = 0;
};

// What a route that is an object says beside its site.
struct RouteOptionsConfiguration {
    AccessLists access;
    std::vector<AlpnRouteConfiguration> alpn;
};

struct RouteConfiguration {
    std::string key;  // lower-case, without a trailing dot: a name, "*.name", "@class" or "*"
    std::string site_directory;
    int line = 0;
    std::shared_ptr<const RouteOptionsConfiguration> options = nullptr;  // null: none
    // The TCP servers that tcpshim relays the route's clients to; the site directory is tcpshim's
    // then. Null: none.
    std::shared_ptr<const shim::SiteConfiguration> relay = nullptr;
};

struct Configuration {
    std::string file;
    std::vector<ListenerConfiguration> listeners;
    std::vector<RouteConfiguration> routes;
    size_t workers = 1;  // set when the file is read: as many as there are processors, up to 4
    std::vector<AlpnRouteConfiguration> alpn;  // for all names, also those without a route
    std::string sites;                         // "" if not given
    std::string sites_place;                   // "file:line: sites"
    size_t hello_bytes_max = 32768;
    std::chrono::milliseconds hello_timeout{10'000};
    std::chrono::milliseconds silent_after{2'000};
    std::chrono::milliseconds wait_for_site{10'000};
    size_t pending_max = 1000;
    size_t sessions_max = 10'000;
    std::string sessions_max_place;                     // "file:line: sessions_max"; "": not given
    size_t source_sessions_max = 1000;                  // at once, of one source; 0: no limit
    size_t source_connections_per_second_max = 10'000;  // new ones, of one source; 0: no limit
    DaemonConfiguration daemon;                         // its user is the workers'
    shim::Embedded tcpshim;                             // of all TCP servers
};

// `file` is only the name in messages.
Result<Configuration, ConfigurationErrors> parse_configuration(std::string_view text,
                                                               std::string_view file);

// Each site directory that a route leads to, and where the file says so.
struct SitePlace {
    std::string place;  // "file:line: routes.name"
    std::string directory;
};
std::vector<SitePlace> places_of_sites(const Configuration& configuration);

// As JSON that parse_configuration reads back to the same value.
std::string print_configuration(const Configuration& configuration);

}  // namespace proxyd
