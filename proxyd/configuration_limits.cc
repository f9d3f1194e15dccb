// SPDX-License-Identifier: MIT
#include "base/daemon/configuration/configuration_values.h"
#include "proxyd/configuration_parts.h"

#include <nlohmann/json.hpp>

namespace proxyd {

void read_hello_bytes_max(ConfigurationReader& reader, const JsonMember& member,
                          Configuration& configuration) {
    reader.read_count(member, 512, 65536, configuration.hello_bytes_max);
}

void read_hello_timeout(ConfigurationReader& reader, const JsonMember& member,
                        Configuration& configuration) {
    reader.read_duration(member, std::chrono::milliseconds(1), configuration.hello_timeout);
}

void read_silent_after(ConfigurationReader& reader, const JsonMember& member,
                       Configuration& configuration) {
    reader.read_duration(member, std::chrono::milliseconds(1), configuration.silent_after);
}

void read_wait_for_site(ConfigurationReader& reader, const JsonMember& member,
                        Configuration& configuration) {
    reader.read_duration(member, std::chrono::milliseconds(0), configuration.wait_for_site);
}

void read_pending_max(ConfigurationReader& reader, const JsonMember& member,
                      Configuration& configuration) {
    reader.read_count(member, 1, 1'000'000, configuration.pending_max);
}

void read_sessions_max(ConfigurationReader& reader, const JsonMember& member,
                       Configuration& configuration) {
    reader.read_count(member, 1, 1'000'000, configuration.sessions_max);
    configuration.sessions_max_place = reader.place(member.value.line, "sessions_max");
}

void read_source_sessions_max(ConfigurationReader& reader, const JsonMember& member,
                              Configuration& configuration) {
    reader.read_count(member, 0, 1'000'000, configuration.source_sessions_max);
}

void read_source_connections_per_second_max(ConfigurationReader& reader, const JsonMember& member,
                                            Configuration& configuration) {
    reader.read_count(member, 0, 1'000'000, configuration.source_connections_per_second_max);
}

void print_limits(const Configuration& configuration, nlohmann::ordered_json& out) {
    out["hello_bytes_max"] = configuration.hello_bytes_max;
    out["hello_timeout"] = format_duration(configuration.hello_timeout);
    out["silent_after"] = format_duration(configuration.silent_after);
    out["wait_for_site"] = format_duration(configuration.wait_for_site);
    out["pending_max"] = configuration.pending_max;
    out["sessions_max"] = configuration.sessions_max;
    out["source_sessions_max"] = configuration.source_sessions_max;
    out["source_connections_per_second_max"] = configuration.source_connections_per_second_max;
}

}  // namespace proxyd
