// SPDX-License-Identifier: MIT
//
// Reading goes over the document once and collects every error; a key is handled by the one
// function that knows it. What a key allows is said in the message that refuses a value.
#include "proxyd/configuration.h"

#include "base/daemon/configuration/configuration_keys.h"
#include "base/daemon/configuration/configuration_reader.h"
#include "base/daemon/json.h"
#include "proxyd/configuration_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

namespace proxyd {
namespace {

constexpr std::string_view DefaultControl = "/run/proxyd/control.sock";

void read_tcpshim(ConfigurationReader&, const JsonMember&, Configuration&) {
    // Done already: wherever it stands, it is there for all that leads to TCP servers.
}

// clang-format off
constexpr auto Keys = std::to_array<ConfigurationKey<Configuration>>({
    {"listen", read_listen},
    {"routes", read_routes},
    {"alpn", read_alpn},
    {"sites", read_sites},
    {"tcpshim", read_tcpshim},
    {"hello_bytes_max", read_hello_bytes_max},
    {"hello_timeout", read_hello_timeout},
    {"silent_after", read_silent_after},
    {"wait_for_site", read_wait_for_site},
    {"pending_max", read_pending_max},
    {"sessions_max", read_sessions_max},
    {"source_sessions_max", read_source_sessions_max},
    {"source_connections_per_second_max", read_source_connections_per_second_max},
    {"access_log", read_daemon_key<read_access_log>},
    {"access_log_format", read_daemon_key<read_access_log_format>},
    {"workers", read_workers},
    {"worker_timeout", read_daemon_key<read_worker_timeout>},
    {"user", read_daemon_key<read_user>},
    {"control", read_daemon_key<read_control>},
    {"log_level", read_daemon_key<read_log_level>},
    {"metrics", read_daemon_key<read_metrics>},
});
// clang-format on

bool has_nowhere_to_go(const Configuration& configuration) {
    return configuration.routes.empty() && configuration.sites.empty() &&
           configuration.alpn.empty() &&
           std::any_of(configuration.listeners.begin(), configuration.listeners.end(),
                       [](const auto& listener) { return listener.site.empty(); });
}

void read_document(ConfigurationReader& reader, const JsonValue& root,
                   Configuration& configuration) {
    const auto* object = root.as<JsonValue::Object>();
    if (object == nullptr) {
        reader.add_error(root.line, "", "is {}, an object is allowed", root.type_words());
        return;
    }
    const auto tcpshim = std::ranges::find(*object, "tcpshim", &JsonMember::key);
    if (tcpshim != object->end())
        shim::read_embedded(reader, tcpshim->value, "tcpshim", configuration.tcpshim);
    read_keys(reader, *object, "proxyd", Keys, configuration);
    if (!reader.given(*object, "listen"))
        reader.add_error(root.line, "listen",
                         "is missing, an array of addresses such as [\":443\", \":80\"] is needed");
    else if (reader.is_fine() && has_nowhere_to_go(configuration))
        reader.add_error(
            root.line, "routes",
            "is empty, and so is 'sites': there is nowhere to hand connections to from a "
            "listener without a site of its own");
}

}  // namespace

Result<Configuration, ConfigurationErrors> parse_configuration(std::string_view text,
                                                               std::string_view file) {
    const auto document = parse_configuration_document(text, file);
    if (!document) return Unexpected{document.error()};
    Configuration configuration;
    configuration.file = file;
    configuration.daemon = default_daemon_configuration(file, DefaultControl);
    configuration.tcpshim = shim::default_embedded(file);
    configuration.workers = default_workers();
    ConfigurationReader reader(file);
    read_document(reader, document->root, configuration);
    ConfigurationErrors errors = reader.take_errors();
    if (!errors.empty()) return Unexpected{std::move(errors)};
    return configuration;
}

std::string print_configuration(const Configuration& configuration) {
    nlohmann::ordered_json out;
    print_listeners(configuration, out);
    print_routes(configuration, out);
    print_limits(configuration, out);
    print_logs(configuration.daemon, out);
    print_processes(configuration, out);
    print_control(configuration.daemon, out);
    return out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace proxyd
