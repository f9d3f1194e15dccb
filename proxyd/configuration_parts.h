// SPDX-License-Identifier: MIT
//
// The parts of the configuration, each with its own source: what a key says, and how it is printed
// again. Used by configuration, whose table says which key belongs to which function.
#pragma once

#include "base/daemon/configuration/configuration_reader.h"
#include "base/daemon/json.h"
#include "proxyd/configuration.h"

#include <nlohmann/json_fwd.hpp>
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
void read_worker_timeout(ConfigurationReader& reader, const JsonMember& member,
                         Configuration& configuration);
void print_processes(const Configuration& configuration, nlohmann::ordered_json& out);

}  // namespace proxyd
