// SPDX-License-Identifier: MIT
#include "proxyd/configuration_parts.h"
#include "proxyd/configuration_values.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <unordered_map>

namespace proxyd {

void read_routes(ConfigurationReader& reader, const JsonMember& member,
                 Configuration& configuration) {
    const auto* object = member.value.as<JsonValue::Object>();
    if (object == nullptr) {
        reader.add_error(member.value.line, "routes",
                         "is {}, an object from names to site directories is allowed",
                         member.value.type_words());
        return;
    }
    std::unordered_map<std::string, int> lines;  // of the keys so far, in their plain form
    for (const JsonMember& route : *object) {
        const std::string path = fmt::format("routes.{}", printable_key(route.key));
        const Result<std::string, std::string> key = parse_route_key(route.key);
        if (!key) {
            reader.add_error(route.key_line, path, "{}", key.error());
        } else if (const auto [first, is_new] = lines.emplace(*key, route.key_line); !is_new) {
            reader.add_error(route.key_line, path, "is given twice, first in line {}",
                             first->second);
        }
        std::string directory = reader.absolute_path(route.value, path);
        if (key && !directory.empty())
            configuration.routes.push_back({*key, std::move(directory), route.key_line});
    }
}

void read_sites(ConfigurationReader& reader, const JsonMember& member,
                Configuration& configuration) {
    configuration.sites = reader.absolute_path(member.value, "sites");
    configuration.sites_place = reader.place(member.value.line, "sites");
}

void print_routes(const Configuration& configuration, nlohmann::ordered_json& out) {
    out["routes"] = nlohmann::ordered_json::object();
    for (const RouteConfiguration& route : configuration.routes)
        out["routes"][route.key] = route.site_directory;
    if (!configuration.sites.empty()) out["sites"] = configuration.sites;
}

}  // namespace proxyd
