// SPDX-License-Identifier: MIT
#include "base/daemon/configuration/daemon_configuration.h"

#include "base/daemon/configuration/configuration_values.h"

#include <fmt/format.h>
#include <sys/un.h>

#include <cstring>
#include <nlohmann/json.hpp>

namespace proxyd {
namespace {

// A busy machine takes its time.
constexpr auto WorkerTimeoutMin = std::chrono::milliseconds(1000);

bool is_loopback(const SocketAddress& address) {
    if (address.family() == AF_INET6) return IN6_IS_ADDR_LOOPBACK(&address.ipv6());
    return (ntohl(address.ipv4().s_addr) >> 24) == 127;
}

}  // namespace

DaemonConfiguration default_daemon_configuration(std::string_view file, std::string_view control) {
    DaemonConfiguration configuration;
    configuration.access_log_place = fmt::format("{}: access_log", file);
    configuration.user_place = fmt::format("{}: user", file);
    configuration.control = control;
    return configuration;
}

void read_access_log(ConfigurationReader& reader, const JsonMember& member,
                     DaemonConfiguration& configuration) {
    constexpr std::string_view Allowed = "\"stderr\", \"journal\" or an absolute path";
    const auto* text = reader.string_of(member.value, "access_log", Allowed);
    if (text == nullptr) return;
    if (*text != "stderr" && *text != "journal" && !is_absolute_path(*text))
        reader.add_error(member.value.line, "access_log", "'{}' is no absolute path, {} is allowed",
                         printable(*text), Allowed);
    configuration.access_log = *text;
    configuration.access_log_place = reader.place(member.value.line, "access_log");
}

void read_access_log_format(ConfigurationReader& reader, const JsonMember& member,
                            DaemonConfiguration& configuration) {
    constexpr std::string_view Allowed = "\"text\" or \"json\"";
    const auto* text = reader.string_of(member.value, "access_log_format", Allowed);
    if (text == nullptr) return;
    if (*text == "json")
        configuration.access_log_format = AccessLogFormat::Json;
    else if (*text != "text")
        reader.add_error(member.value.line, "access_log_format", "is '{}', {} is allowed",
                         printable(*text), Allowed);
}

void read_log_level(ConfigurationReader& reader, const JsonMember& member,
                    DaemonConfiguration& configuration) {
    constexpr std::string_view Allowed =
        "\"error\", \"warning\", \"notice\", \"info\" or \"debug\"";
    const auto* text = reader.string_of(member.value, "log_level", Allowed);
    if (text == nullptr) return;
    if (const auto level = log_level_of(*text))
        configuration.log_level = *level;
    else
        reader.add_error(member.value.line, "log_level", "is '{}', {} is allowed", printable(*text),
                         Allowed);
}

void read_metrics(ConfigurationReader& reader, const JsonMember& member,
                  DaemonConfiguration& configuration) {
    constexpr std::string_view Allowed =
        "\"127.0.0.1:9100\", \"[::1]:9100\" or \"unix:/run/proxyd/metrics.sock\"";
    const auto* text = reader.string_of(member.value, "metrics", Allowed);
    if (text == nullptr) return;
    MetricsAddress& metrics = configuration.metrics;
    metrics.text = *text;
    metrics.place = reader.place(member.value.line, "metrics");
    if (text->starts_with("unix:")) {
        metrics.path = text->substr(strlen("unix:"));
        if (!is_absolute_path(metrics.path) || metrics.path.size() >= sizeof(sockaddr_un::sun_path))
            reader.add_error(member.value.line, "metrics",
                             "'{}' has no absolute path of at most {} bytes, {} is allowed",
                             printable(*text), sizeof(sockaddr_un::sun_path) - 1, Allowed);
        return;
    }
    const std::vector<SocketAddress> addresses = parse_listen_address(*text);
    if (addresses.empty())
        reader.add_error(member.value.line, "metrics", "'{}' is no address, {} is allowed",
                         printable(*text), Allowed);
    else if (addresses.size() > 1 || !is_loopback(addresses[0]))
        reader.add_error(member.value.line, "metrics",
                         "'{}' can be reached from other machines, and nobody is asked for a "
                         "password there, {} is allowed",
                         printable(*text), Allowed);
    else
        metrics.address = addresses[0];
}

void read_control(ConfigurationReader& reader, const JsonMember& member,
                  DaemonConfiguration& configuration) {
    constexpr std::string_view Allowed = "\"none\" or an absolute path";
    const auto* text = reader.string_of(member.value, "control", Allowed);
    if (text == nullptr) return;
    if (*text != "none" && !is_absolute_path(*text))
        reader.add_error(member.value.line, "control", "'{}' is no absolute path, {} is allowed",
                         printable(*text), Allowed);
    configuration.control = *text;
    configuration.control_place = reader.place(member.value.line, "control");
}

void read_user(ConfigurationReader& reader, const JsonMember& member,
               DaemonConfiguration& configuration) {
    constexpr std::string_view Allowed = "the name of a user";
    const auto* text = reader.string_of(member.value, "user", Allowed);
    if (text == nullptr) return;
    if (text->empty() || text->find('\0') != text->npos)
        reader.add_error(member.value.line, "user", "is '{}', {} is allowed", printable(*text),
                         Allowed);
    configuration.user = *text;
    configuration.user_place = reader.place(member.value.line, "user");
}

void read_worker_timeout(ConfigurationReader& reader, const JsonMember& member,
                         DaemonConfiguration& configuration) {
    std::chrono::milliseconds timeout = configuration.worker_timeout;
    reader.read_duration(member, std::chrono::milliseconds(0), timeout);
    if (timeout.count() > 0 && timeout < WorkerTimeoutMin)
        reader.add_error(member.value.line, "worker_timeout",
                         "is '{}', \"0s\" (never) or a duration from \"{}\" to \"1h\" is allowed",
                         format_duration(timeout), format_duration(WorkerTimeoutMin));
    else
        configuration.worker_timeout = timeout;
}

void print_logs(const DaemonConfiguration& configuration, nlohmann::ordered_json& out) {
    out["access_log"] = configuration.access_log;
    out["access_log_format"] =
        configuration.access_log_format == AccessLogFormat::Json ? "json" : "text";
    out["log_level"] = log_level_word(configuration.log_level);
    if (!configuration.metrics.text.empty()) out["metrics"] = configuration.metrics.text;
}

void print_user(const DaemonConfiguration& configuration, nlohmann::ordered_json& out) {
    if (!configuration.user.empty()) out["user"] = configuration.user;
}

void print_worker_timeout(const DaemonConfiguration& configuration, nlohmann::ordered_json& out) {
    out["worker_timeout"] = format_duration(configuration.worker_timeout);
}

void print_control(const DaemonConfiguration& configuration, nlohmann::ordered_json& out) {
    if (!configuration.control.empty()) out["control"] = configuration.control;
}

}  // namespace proxyd
