// SPDX-License-Identifier: MIT
//
// The parts of the configuration, each with its own source: what a key says, and how it is printed
// again. Used by configuration, whose table says which key belongs to which function.
#pragma once

#include "base/daemon/configuration/configuration_reader.h"
#include "base/daemon/json.h"
#include "proxyd/configuration.h"

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace proxyd {

// configuration_listeners.cc
void read_listen(ConfigurationReader& reader, const JsonMember& member,
                 Configuration& configuration);
void print_listeners(const Configuration& configuration, nlohmann::ordered_json& out);

// configuration_routes.cc
void read_routes(ConfigurationReader& reader, const JsonMember& member,
                 Configuration& configuration);
void read_alpn(ConfigurationReader& reader, const JsonMember& member, Configuration& configuration);
void read_sites(ConfigurationReader& reader, const JsonMember& member,
                Configuration& configuration);
void print_routes(const Configuration& configuration, nlohmann::ordered_json& out);

// configuration_relay.cc: TCP servers, wherever they stand instead of a site directory
struct RelayWords {
    std::string_view what;          // "a route to TCP servers"
    std::string_view why_no_ports;  // what is to be said of the key 'ports'
    std::span<const std::string_view> other_keys = {};
};
// The backend of "tcp://HOST:PORT".
std::optional<JsonValue> tcp_backend_in(const JsonValue& value);
// A site directory, where "tcp://HOST:PORT" is allowed too; "" after an error.
std::string read_site_directory(ConfigurationReader& reader, const JsonValue& value,
                                std::string_view path);
// That backend, or an object with 'tcp' and settings. After an error it may be anything.
std::shared_ptr<const shim::SiteConfiguration> read_relay(ConfigurationReader& reader,
                                                          const JsonValue& value,
                                                          const std::string& path,
                                                          const Configuration& configuration,
                                                          const RelayWords& words);
nlohmann::ordered_json relay_json(const shim::SiteConfiguration& relay);
bool has_relays(const Configuration& configuration);

// configuration_access.cc: `allow` and `deny`, wherever they stand
void read_allow(ConfigurationReader& reader, const JsonMember& member, std::string_view path,
                AccessLists& access);
void read_deny(ConfigurationReader& reader, const JsonMember& member, std::string_view path,
               AccessLists& access);
void print_access(const AccessLists& access, nlohmann::ordered_json& out);

// configuration_limits.cc
void read_hello_bytes_max(ConfigurationReader& reader, const JsonMember& member,
                          Configuration& configuration);
void read_hello_timeout(ConfigurationReader& reader, const JsonMember& member,
                        Configuration& configuration);
void read_silent_after(ConfigurationReader& reader, const JsonMember& member,
                       Configuration& configuration);
void read_wait_for_site(ConfigurationReader& reader, const JsonMember& member,
                        Configuration& configuration);
void read_pending_max(ConfigurationReader& reader, const JsonMember& member,
                      Configuration& configuration);
void read_sessions_max(ConfigurationReader& reader, const JsonMember& member,
                       Configuration& configuration);
void read_source_sessions_max(ConfigurationReader& reader, const JsonMember& member,
                              Configuration& configuration);
void read_source_connections_per_second_max(ConfigurationReader& reader, const JsonMember& member,
                                            Configuration& configuration);
void print_limits(const Configuration& configuration, nlohmann::ordered_json& out);

// configuration_processes.cc
size_t default_workers();
void read_workers(ConfigurationReader& reader, const JsonMember& member,
                  Configuration& configuration);
void print_processes(const Configuration& configuration, nlohmann::ordered_json& out);

}  // namespace proxyd
