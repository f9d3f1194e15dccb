// SPDX-License-Identifier: MIT
#include "base/daemon/configuration/configuration_values.h"
#include "base/relay/site_reader.h"
#include "proxyd/configuration_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace proxyd {
namespace {

constexpr std::string_view TcpPrefix = "tcp://";

}  // namespace

std::optional<JsonValue> tcp_backend_in(const JsonValue& value) {
    const auto* text = value.as<std::string_view>();
    if (text == nullptr || !text->starts_with(TcpPrefix)) return std::nullopt;
    JsonValue backend = value;
    backend.value = text->substr(TcpPrefix.size());
    return backend;
}

std::string read_site_directory(ConfigurationReader& reader, const JsonValue& value,
                                std::string_view path) {
    const auto* text = value.as<std::string_view>();
    if (text == nullptr || is_absolute_path(*text)) return reader.absolute_path(value, path);
    reader.add_error(value.line, path,
                     "'{}' is no absolute path, the absolute path of a directory, or "
                     "\"tcp://HOST:PORT\" for a TCP server, is allowed",
                     printable(*text));
    return "";
}

std::shared_ptr<const shim::SiteConfiguration> read_relay(ConfigurationReader& reader,
                                                          const JsonValue& value,
                                                          const std::string& path,
                                                          const Configuration& configuration,
                                                          const RelayWords& words) {
    if (const auto* object = value.as<JsonValue::Object>()) {
        const auto ports = std::ranges::find(*object, "ports", &JsonMember::key);
        if (ports != object->end()) {
            reader.add_error(ports->key_line, path + ".ports", "{}", words.why_no_ports);
            return nullptr;
        }
    }
    shim::SiteConfiguration relay = configuration.tcpshim.defaults;
    shim::SiteReader(reader, path, relay,
                     {.what = words.what, .backends_key = "tcp", .other_keys = words.other_keys})
        .read_site(value);
    return std::make_shared<const shim::SiteConfiguration>(std::move(relay));
}

nlohmann::ordered_json relay_json(const shim::SiteConfiguration& relay) {
    nlohmann::ordered_json site = shim::site_json(relay);
    nlohmann::ordered_json out = {{"tcp", site["to"]}};
    site.erase("ports");
    site.erase("to");
    out.update(site);
    return out;
}

bool has_relays(const Configuration& configuration) {
    const auto is_relayed = [](const auto& each) { return each.relay != nullptr; };
    return std::ranges::any_of(configuration.routes, is_relayed) ||
           std::ranges::any_of(configuration.listeners, is_relayed);
}

}  // namespace proxyd
