// SPDX-License-Identifier: MIT
//
// What tcpshim has been told to do: a plain value, read from a file (configuration_file) or put
// together from the command line. Everything in tcpshim takes its settings from here.
#pragma once

#include "base/daemon/configuration/daemon_configuration.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace proxyd::shim {

using Milliseconds = std::chrono::milliseconds;

// Where a backend is: exactly one form.
enum class BackendKind : uint8_t {
    HostPort,    // a name or an address, and a port: "nas.lan:443", "[2001:db8::1]:443"
    Service,     // a DNS service (RFC 2782): "srv:_https._tcp.nas.lan"
    UnixStream,  // the path of a Unix stream socket: "unix:/run/app.sock"
};

struct BackendConfiguration {
    std::string text;  // as written, and as logs and counters call it
    BackendKind kind = BackendKind::HostPort;
    std::string host;        // a name or an address without brackets; the service's name; the path
    uint16_t port = 0;       // 0: the port that the client came to (HostPort alone)
    uint32_t weight = 1;     // 1 to 256: its share beside the others
    bool is_backup = false;  // used when no other one is up
    size_t connections_max = 0;  // at once; 0: no limit
};

enum class Balance : uint8_t { RoundRobin, LeastConnections, SourceHash };

enum class ProxyProtocolVersion : uint8_t { None, V1, V2 };

enum class CheckKind : uint8_t { None, Connect, Tls, Http };

// How backends are asked whether they are up.
struct CheckConfiguration {
    CheckKind kind = CheckKind::None;
    Milliseconds interval{5'000};
    Milliseconds timeout{2'000};
    uint32_t rise = 2;       // good answers in a row until it is up
    uint32_t fall = 3;       // bad ones until it is down
    std::string name;        // TLS: the SNI; HTTP: the Host; "": the backend's host
    std::string path = "/";  // HTTP
    uint16_t status_least = 200, status_most = 399;  // HTTP: what is good
};

// One site: the sockets that clients come from, and where they go.
struct SiteConfiguration {
    std::string name;       // what logs and counters call it: the last part of the directory
    std::string directory;  // absolute
    std::vector<uint16_t> ports;
    std::string place;  // "file:line: sites[0]", for messages

    std::vector<BackendConfiguration> backends;  // at least one
    Balance balance = Balance::RoundRobin;
    ProxyProtocolVersion proxy_protocol = ProxyProtocolVersion::None;
    bool is_transparent = false;  // the client's own address as source (IP_TRANSPARENT)

    Milliseconds connect_timeout{5'000};       // of one attempt at one backend
    Milliseconds backend_wait{10'000};         // of all attempts together, for one client
    Milliseconds idle_timeout{3'600'000};      // no byte either way; 0: none
    Milliseconds half_closed_timeout{60'000};  // after one side has ended, no byte; 0: none
    Milliseconds keepalive_after{60'000};      // TCP keepalive on both sides; 0: off
    Milliseconds user_timeout{0};              // TCP_USER_TIMEOUT on both sides; 0: the kernel's
    size_t connections_max = 0;                // at once, of this site; 0: no limit

    uint32_t failures_max = 3;          // in a row, until a backend is left out (passive health)
    Milliseconds failure_pause{1'000};  // for how long at first; doubles each time
    Milliseconds failure_pause_max{60'000};
    CheckConfiguration check;
};

struct Configuration {
    std::string file;      // "" if it came from the command line
    std::string instance;  // of the sockets' names, <port>.<instance>.sock; "": <port>.sock
    std::vector<SiteConfiguration> sites;
    size_t connections_max = 50'000;     // relayed at once
    Milliseconds drain_timeout{60'000};  // how long old connections may go on after SIGTERM
    DaemonConfiguration daemon;          // its user is the worker's
    std::vector<std::string> resolvers;  // "192.0.2.53" or "192.0.2.53:5353"; empty: the system's
};

}  // namespace proxyd::shim
