// SPDX-License-Identifier: MIT
//
// DaemonConfiguration: the keys that the configuration of each daemon has, with one meaning: logs,
// metrics, control socket, user and hung workers; they are described in docs/CONFIGURATION.md. Used
// as a part of the daemon's own configuration. It opens nothing.
#pragma once

#include "base/daemon/configuration/configuration_reader.h"
#include "base/daemon/json.h"
#include "base/daemon/log.h"
#include "base/posix/socket_address.h"

#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace proxyd {

enum class AccessLogFormat : uint8_t { Text, Json };

// Where metrics are served over HTTP; nowhere if `text` is "".
struct MetricsAddress {
    std::string text;       // as written: "127.0.0.1:9100"
    std::string place;      // "file:line: metrics"
    SocketAddress address;  // of loopback; none if there is a path
    std::string path;       // of a Unix socket, or ""
};

struct DaemonConfiguration {
    std::string access_log = "stderr";  // or "journal", or a path
    std::string access_log_place;       // "file:line: access_log"
    AccessLogFormat access_log_format = AccessLogFormat::Text;
    LogLevel log_level = LogLevel::Notice;
    MetricsAddress metrics;
    std::string control;        // a path, or "none"; the default is the daemon's
    std::string control_place;  // "file:line: control"; "": not given
    std::string user;           // "" for the default
    std::string user_place;     // "file:line: user"
    // A worker that hasn't answered main for so long is killed and replaced; 0: never.
    std::chrono::milliseconds worker_timeout{30'000};
};

// With the places of what may be missing in `file` and is used nevertheless.
DaemonConfiguration default_daemon_configuration(std::string_view file, std::string_view control);

void read_access_log(ConfigurationReader& reader, const JsonMember& member,
                     DaemonConfiguration& configuration);
void read_access_log_format(ConfigurationReader& reader, const JsonMember& member,
                            DaemonConfiguration& configuration);
void read_log_level(ConfigurationReader& reader, const JsonMember& member,
                    DaemonConfiguration& configuration);
void read_metrics(ConfigurationReader& reader, const JsonMember& member,
                  DaemonConfiguration& configuration);
void read_control(ConfigurationReader& reader, const JsonMember& member,
                  DaemonConfiguration& configuration);
void read_user(ConfigurationReader& reader, const JsonMember& member,
               DaemonConfiguration& configuration);

void read_worker_timeout(ConfigurationReader& reader, const JsonMember& member,
                         DaemonConfiguration& configuration);

// For the table of a configuration that has a DaemonConfiguration as its member `daemon`:
// {"user", read_daemon_key<read_user>}.
template <auto Read, typename Configuration>
void read_daemon_key(ConfigurationReader& reader, const JsonMember& member,
                     Configuration& configuration) {
    Read(reader, member, configuration.daemon);
}

// As JSON that is read back to the same values.
void print_logs(const DaemonConfiguration& configuration, nlohmann::ordered_json& out);
void print_user(const DaemonConfiguration& configuration, nlohmann::ordered_json& out);
void print_worker_timeout(const DaemonConfiguration& configuration, nlohmann::ordered_json& out);
void print_control(const DaemonConfiguration& configuration, nlohmann::ordered_json& out);

}  // namespace proxyd
