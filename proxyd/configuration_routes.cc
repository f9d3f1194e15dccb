// SPDX-License-Identifier: MIT
#include "base/daemon/configuration/configuration_values.h"
#include "proxyd/configuration_parts.h"
#include "proxyd/name_index.h"
#include "proxyd/route_key.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>

namespace proxyd {
namespace {

constexpr std::array<std::string_view, 4> RouteKeys = {"site", "allow", "deny", "alpn"};
constexpr std::array<std::string_view, 5> AllRouteKeys = {"site", "tcp", "allow", "deny", "alpn"};
constexpr std::string_view SiteForms =
    "the absolute path of a directory, \"tcp://HOST:PORT\", or an object with 'site' or 'tcp'";

// The value of "alpn": an object from application protocols to site directories.
void read_alpn_routes(ConfigurationReader& reader, const JsonMember& member, std::string_view path,
                      std::vector<AlpnRouteConfiguration>& routes) {
    constexpr std::string_view Allowed =
        "an object from application protocols such as \"acme-tls/1\" to site directories";
    const auto* object = member.value.as<JsonValue::Object>();
    if (object == nullptr || object->empty()) {
        reader.add_error(member.value.line, path, "is {}, {} is allowed",
                         object ? "empty" : member.value.type_words(), Allowed);
        return;
    }
    for (const JsonMember& protocol : *object) {
        const std::string protocol_path = fmt::format("{}.{}", path, printable_key(protocol.key));
        if (!reader.is_first(*object, protocol, protocol_path)) continue;
        // RFC 7301 section 3.1: one byte for the length.
        if (protocol.key.empty() || protocol.key.size() > 255) {
            reader.add_error(protocol.key_line, protocol_path,
                             "has {} bytes, an application protocol has 1 to 255",
                             protocol.key.size());
            continue;
        }
        std::string directory = reader.absolute_path(protocol.value, protocol_path);
        if (!directory.empty())
            routes.push_back({std::string(protocol.key), std::move(directory), protocol.key_line});
    }
}

class RouteReader {
  public:
    RouteReader(ConfigurationReader& reader, std::string path, const Configuration& configuration)
        : reader_(reader), path_(std::move(path)), configuration_(configuration) {}

    // Nothing after an error.
    std::optional<RouteConfiguration> read(const JsonValue& value) {
        if (const auto* object = value.as<JsonValue::Object>())
            read_object(*object, value.line);
        else if (const auto backend = tcp_backend_in(value))
            route_.relay = relay_of(*backend);
        else if (value.as<std::string_view>() != nullptr)
            route_.site_directory = read_site_directory(reader_, value, path_);
        else
            reader_.add_error(value.line, path_, "is {}, {} is allowed", value.type_words(),
                              SiteForms);
        if (route_.site_directory.empty() && route_.relay == nullptr) return std::nullopt;
        if (!options_.access.empty() || !options_.alpn.empty())
            route_.options = std::make_shared<RouteOptionsConfiguration>(std::move(options_));
        return std::move(route_);
    }

  private:
    void read_object(const JsonValue::Object& object, int line) {
        const bool is_relayed = reader_.given(object, "tcp");
        JsonValue::Object relay;
        for (const JsonMember& member : object) {
            const bool is_ours = std::ranges::find(RouteKeys, member.key) != RouteKeys.end();
            if (is_relayed && !is_ours) {
                relay.push_back(member);
                continue;
            }
            const std::string key_path = fmt::format("{}.{}", path_, printable_key(member.key));
            if (reader_.is_first(object, member, key_path)) read_key(member, key_path);
        }
        if (is_relayed && reader_.given(object, "site"))
            reader_.add_error(line, path_, "has both 'site' and 'tcp', one of them is allowed");
        else if (is_relayed)
            route_.relay = relay_of({std::move(relay), line});
        else if (!reader_.given(object, "site"))
            reader_.add_error(line, path_ + ".site",
                              "is missing, the absolute path of a directory is needed, or 'tcp'");
    }

    void read_key(const JsonMember& member, const std::string& path) {
        if (member.key == "site")
            read_site(member.value, path);
        else if (member.key == "allow")
            read_allow(reader_, member, path, options_.access);
        else if (member.key == "deny")
            read_deny(reader_, member, path, options_.access);
        else if (member.key == "alpn")
            read_alpn_routes(reader_, member, path, options_.alpn);
        else
            reader_.add_unknown_key(member, path, "a route", AllRouteKeys);
    }

    void read_site(const JsonValue& value, const std::string& path) {
        if (const auto backend = tcp_backend_in(value))
            reader_.add_error(value.line, path,
                              "is '{}', which is a value of 'tcp': {{\"tcp\": \"{}\"}}",
                              printable(*value.as<std::string_view>()),
                              printable(*backend->as<std::string_view>()));
        else
            route_.site_directory = reader_.absolute_path(value, path);
    }

    std::shared_ptr<const shim::SiteConfiguration> relay_of(const JsonValue& value) {
        return read_relay(
            reader_, value, path_, configuration_,
            {.what = "a route to TCP servers",
             .why_no_ports = "is not for a route: clients come to the ports of 'listen'",
             .other_keys = RouteKeys});
    }

    ConfigurationReader& reader_;
    const std::string path_;
    const Configuration& configuration_;
    RouteConfiguration route_;
    RouteOptionsConfiguration options_;
};

nlohmann::ordered_json print_alpn(const std::vector<AlpnRouteConfiguration>& routes) {
    nlohmann::ordered_json out;
    for (const AlpnRouteConfiguration& route : routes)
        out[route.protocol] = route.site_directory;
    return out;
}

// The keys so far, in their plain form, also of routes with errors.
class KeysRead {
  public:
    explicit KeysRead(const JsonValue::Object& object) : index_(object.size()) {
        size_t bytes = 0;
        for (const JsonMember& member : object)
            bytes += member.key.size();  // its plain form is not longer
        texts_.reserve(bytes);
        keys_.reserve(object.size());
    }
    // The line of the same key, if there was one.
    std::optional<int> add(std::string_view key, int line) {
        const auto position = static_cast<uint32_t>(keys_.size());
        const auto first = index_.add(key, position, [this](uint32_t at) { return keys_[at].key; });
        if (first) return keys_[*first].line;
        texts_ += key;
        keys_.push_back({std::string_view(texts_).substr(texts_.size() - key.size()), line});
        return std::nullopt;
    }

  private:
    struct Key {
        std::string_view key;
        int line;
    };
    NameIndex index_;
    std::vector<Key> keys_;
    std::string texts_;
};

// What most routes are, in files with very many: the path of a directory and nothing else.
bool is_plain_directory(const JsonValue& value) {
    const auto* text = value.as<std::string_view>();
    return text != nullptr && is_absolute_path(*text);
}

void read_route(ConfigurationReader& reader, const JsonMember& member, KeysRead& keys,
                Configuration& configuration) {
    // Made for those alone for whom there may be something to say.
    const auto path = [&] { return fmt::format("routes.{}", printable_key(member.key)); };
    const int line = member.key_line;
    Result<std::string, std::string> key = parse_route_key(member.key);
    if (!key)
        reader.add_error(line, path(), "{}", key.error());
    else if (const auto first = keys.add(*key, line))
        reader.add_error(line, path(), "is given twice, first in line {}", *first);
    if (key && is_plain_directory(member.value)) {
        configuration.routes.push_back(
            {*std::move(key), without_trailing_slashes(*member.value.as<std::string_view>()),
             line});
        return;
    }
    auto route = RouteReader(reader, path(), configuration).read(member.value);
    if (!key || !route) return;
    route->key = *key;
    if (route->relay != nullptr)
        route->site_directory = fmt::format("{}/{}", configuration.tcpshim.directory, *key);
    route->line = line;
    configuration.routes.push_back(*std::move(route));
}

}  // namespace

void read_routes(ConfigurationReader& reader, const JsonMember& member,
                 Configuration& configuration) {
    const auto* object = member.value.as<JsonValue::Object>();
    if (object == nullptr) {
        reader.add_error(member.value.line, "routes",
                         "is {}, an object from names to site directories is allowed",
                         member.value.type_words());
        return;
    }
    KeysRead keys(*object);
    configuration.routes.reserve(object->size());
    for (const JsonMember& route : *object)
        read_route(reader, route, keys, configuration);
}

void read_alpn(ConfigurationReader& reader, const JsonMember& member,
               Configuration& configuration) {
    read_alpn_routes(reader, member, "alpn", configuration.alpn);
}

void read_sites(ConfigurationReader& reader, const JsonMember& member,
                Configuration& configuration) {
    configuration.sites = reader.absolute_path(member.value, "sites");
    configuration.sites_place = reader.place(member.value.line, "sites");
}

std::vector<SitePlace> places_of_sites(const Configuration& configuration) {
    std::vector<SitePlace> places;
    const auto add = [&](std::string_view path, const std::string& directory, int line) {
        places.push_back({fmt::format("{}:{}: {}", configuration.file, line, path), directory});
    };
    const auto add_alpn = [&](std::string_view path, const auto& routes) {
        for (const AlpnRouteConfiguration& route : routes)
            add(fmt::format("{}.{}", path, printable(route.protocol)), route.site_directory,
                route.line);
    };
    for (const RouteConfiguration& route : configuration.routes) {
        const std::string path = "routes." + route.key;
        if (route.relay == nullptr) add(path, route.site_directory, route.line);
        if (route.options != nullptr) add_alpn(path + ".alpn", route.options->alpn);
    }
    add_alpn("alpn", configuration.alpn);
    return places;
}

void print_routes(const Configuration& configuration, nlohmann::ordered_json& out) {
    out["routes"] = nlohmann::ordered_json::object();
    for (const RouteConfiguration& route : configuration.routes) {
        if (route.options == nullptr && route.relay == nullptr) {
            out["routes"][route.key] = route.site_directory;
            continue;
        }
        nlohmann::ordered_json object =
            route.relay != nullptr ? relay_json(*route.relay)
                                   : nlohmann::ordered_json{{"site", route.site_directory}};
        if (route.options != nullptr) {
            print_access(route.options->access, object);
            if (!route.options->alpn.empty()) object["alpn"] = print_alpn(route.options->alpn);
        }
        out["routes"][route.key] = std::move(object);
    }
    if (!configuration.alpn.empty()) out["alpn"] = print_alpn(configuration.alpn);
    if (!configuration.sites.empty()) out["sites"] = configuration.sites;
    if (has_relays(configuration)) out["tcpshim"] = shim::embedded_json(configuration.tcpshim);
}

}  // namespace proxyd
