// SPDX-License-Identifier: MIT
#include "proxyd/configured_routes.h"

#include <algorithm>
#include <cassert>

namespace proxyd {
namespace {

constexpr std::string_view WildcardPrefix = "*.";
constexpr std::string_view AlpnKeyPrefix = "alpn/";

size_t bytes_of(const RouteConfiguration& route) {
    size_t bytes = route.key.size() + route.site_directory.size();
    if (route.options != nullptr)
        for (const AlpnRouteConfiguration& alpn : route.options->alpn)
            bytes += alpn.site_directory.size();
    return bytes;
}

size_t bytes_of_all(const std::vector<RouteConfiguration>& routes,
                    const std::vector<AlpnRouteConfiguration>& alpn) {
    size_t bytes = 0;
    for (const RouteConfiguration& route : routes)
        bytes += bytes_of(route);
    for (const AlpnRouteConfiguration& route : alpn)
        bytes += AlpnKeyPrefix.size() + route.protocol.size() + route.site_directory.size();
    return bytes;
}

size_t count_of_wildcards(const std::vector<RouteConfiguration>& routes) {
    return static_cast<size_t>(std::ranges::count_if(
        routes, [](const auto& route) { return route.key.starts_with(WildcardPrefix); }));
}

}  // namespace

ConfiguredRoutes::ConfiguredRoutes(const std::vector<RouteConfiguration>& routes,
                                   const std::vector<AlpnRouteConfiguration>& alpn)
    : exact_(routes.size() - count_of_wildcards(routes)), wildcards_(count_of_wildcards(routes)) {
    texts_.reserve(bytes_of_all(routes, alpn));
    routes_.reserve(routes.size());
    for (const RouteConfiguration& route : routes) {
        const auto position = static_cast<uint32_t>(routes_.size());
        routes_.push_back(make_route(route));
        const auto key_at = [this](uint32_t at) { return routes_[at].key; };
        const auto parent_at = [this](uint32_t at) {
            return routes_[at].key.substr(WildcardPrefix.size());
        };
        if (route.key.starts_with(WildcardPrefix)) {
            wildcards_.add(parent_at(position), position, parent_at);
            has_wildcards_ = true;
        } else {
            exact_.add(key_at(position), position, key_at);
        }
    }
    for (const AlpnRouteConfiguration& route : alpn) {
        const std::string key = std::string(AlpnKeyPrefix) + route.protocol;
        alpn_.add(route.protocol, Route{keep(key), keep(route.site_directory)});
    }
}

std::string_view ConfiguredRoutes::keep(std::string_view text) {
    assert(texts_.size() + text.size() <= texts_.capacity());
    texts_.append(text);
    return std::string_view(texts_).substr(texts_.size() - text.size());
}

Route ConfiguredRoutes::make_route(const RouteConfiguration& configuration) {
    Route route{keep(configuration.key), keep(configuration.site_directory)};
    if (configuration.options == nullptr) return route;
    auto options = std::make_shared<RouteOptions>();
    options->access = configuration.options->access;
    for (const AlpnRouteConfiguration& alpn : configuration.options->alpn)
        options->alpn.add(alpn.protocol, Route{route.key, keep(alpn.site_directory)});
    route.options = std::move(options);
    return route;
}

const Route* ConfiguredRoutes::find(std::string_view key) const {
    if (key.starts_with(WildcardPrefix)) return find_wildcard(key.substr(WildcardPrefix.size()));
    const auto found = exact_.find(key, [this](uint32_t at) { return routes_[at].key; });
    return found ? &routes_[*found] : nullptr;
}

const Route* ConfiguredRoutes::find_wildcard(std::string_view parent) const {
    const auto found = wildcards_.find(
        parent, [this](uint32_t at) { return routes_[at].key.substr(WildcardPrefix.size()); });
    return found ? &routes_[*found] : nullptr;
}

}  // namespace proxyd
