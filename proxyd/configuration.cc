// SPDX-License-Identifier: MIT
//
// Reading goes over the document once and collects every error; a key is handled by the one
// function that knows it. What a key allows is said in the message that refuses a value.
#include "proxyd/configuration.h"

#include "base/daemon/configuration/configuration_reader.h"
#include "base/daemon/configuration/configuration_values.h"
#include "base/daemon/json.h"
#include "proxyd/configuration_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

namespace proxyd {
namespace {

// clang-format off
constexpr auto Keys = std::to_array<ConfigurationKey>({
    {"listen", read_listen},
    {"routes", read_routes},
    {"alpn", read_alpn},
    {"sites", read_sites},
    {"hello_bytes_max", read_hello_bytes_max},
    {"hello_timeout", read_hello_timeout},
    {"silent_after", read_silent_after},
    {"wait_for_site", read_wait_for_site},
    {"pending_max", read_pending_max},
    {"sessions_max", read_sessions_max},
    {"source_sessions_max", read_source_sessions_max},
    {"source_connections_per_second_max", read_source_connections_per_second_max},
    {"access_log", read_access_log},
    {"access_log_format", read_access_log_format},
    {"workers", read_workers},
    {"worker_timeout", read_worker_timeout},
    {"user", read_user},
    {"control", read_control},
    {"log_level", read_log_level},
    {"metrics", read_metrics},
});
// clang-format on

void read_key(ConfigurationReader& reader, const JsonValue::Object& object,
              const JsonMember& member, Configuration& configuration) {
    const std::string path = printable_key(member.key);
    if (!reader.is_first(object, member, path)) return;
    std::array<std::string_view, Keys.size()> names;
    for (size_t i = 0; i < Keys.size(); i++) {
        if (Keys[i].name == member.key) return Keys[i].read(reader, member, configuration);
        names[i] = Keys[i].name;
    }
    reader.add_unknown_key(member, path, "proxyd", names);
}

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
    for (const JsonMember& member : *object)
        read_key(reader, *object, member, configuration);
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
    const Result<JsonValue, JsonError> document = parse_json(text);
    if (!document)
        return Unexpected{ConfigurationErrors{fmt::format(
            "{}:{}: is not JSON: {}", file, document.error().line, document.error().text)}};
    Configuration configuration;
    configuration.file = file;
    configuration.access_log_place = fmt::format("{}: access_log", file);
    configuration.user_place = fmt::format("{}: user", file);
    configuration.workers = default_workers();
    ConfigurationReader reader(file);
    read_document(reader, *document, configuration);
    ConfigurationErrors errors = reader.take_errors();
    if (!errors.empty()) return Unexpected{std::move(errors)};
    return configuration;
}

std::string print_configuration(const Configuration& configuration) {
    nlohmann::ordered_json out;
    print_listeners(configuration, out);
    print_routes(configuration, out);
    print_limits(configuration, out);
    print_logs(configuration, out);
    print_processes(configuration, out);
    print_control(configuration, out);
    return out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace proxyd
