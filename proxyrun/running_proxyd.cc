// SPDX-License-Identifier: MIT
#include "proxyrun/running_proxyd.h"

#include "base/daemon/control/control_client.h"
#include "base/handoff/port_pair.h"
#include "proxyrun/advice.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <optional>

namespace proxyd {
namespace {

constexpr auto Patience = std::chrono::seconds(1);

// Of "192.0.2.1:443" and "[::]:443".
std::optional<uint16_t> port_of_address(const std::string& address) {
    const size_t colon = address.rfind(':');
    if (colon == address.npos) return std::nullopt;
    uint16_t port = 0;
    const char* const end = address.data() + address.size();
    const auto [rest, error] = std::from_chars(address.data() + colon + 1, end, port);
    if (error != std::errc() || rest != end || port == 0) return std::nullopt;
    return port;
}

std::string text_at(const Json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

RunningProxyd RunningProxyd::ask(const std::string& control_socket) {
    RunningProxyd proxyd;
    auto client = ControlClient::connect_to(control_socket);
    if (!client) return proxyd;
    client->wait_at_most(Patience);
    (void)client->ask(Json{{"do", "status"}}, [&](const Json& item) {
        proxyd = from(item);
        return false;
    });
    return proxyd;
}

RunningProxyd RunningProxyd::from(const Json& status) {
    RunningProxyd proxyd;
    proxyd.user = text_at(status, "user");
    const auto listeners = status.find("listeners");
    if (listeners == status.end() || !listeners->is_array()) return proxyd;
    for (const Json& listener : *listeners) {
        if (!listener.is_object()) continue;
        const auto port = port_of_address(text_at(listener, "address"));
        if (port) proxyd.listeners.push_back({*port, text_at(listener, "site")});
    }
    return proxyd;
}

std::vector<uint16_t> RunningProxyd::edge_ports_of(const std::string& site_directory) const {
    std::set<uint16_t> ports = ports_of_listeners(site_directory);
    ports.insert({443, 80});
    return {ports.begin(), ports.end()};
}

std::set<uint16_t> RunningProxyd::ports_of_listeners(const std::string& site_directory) const {
    std::set<uint16_t> ports;
    for (const Listener& listener : listeners) {
        if (listener.site.empty() || listener.site == site_directory) ports.insert(listener.port);
    }
    return ports;
}

std::string RunningProxyd::edge_warning(const std::string& site_directory,
                                        const std::vector<std::string>& pairs) const {
    const std::set<uint16_t> ports = ports_of_listeners(site_directory);
    if (ports.empty()) return "";
    for (const std::string& text : pairs) {
        const auto pair = PortPair::parse(text);
        if (!pair || ports.contains(pair->edge)) continue;
        const bool is_turned = ports.contains(pair->server);
        const uint16_t server = is_turned ? pair->edge : pair->server;
        return fmt::format(
            "--port {}: proxyd doesn't listen on port {} for this site, but on {}: for a server "
            "that binds {} it is {}",
            text, pair->edge, fmt::join(ports, " and "), server,
            port_advice(is_turned ? std::set{pair->server} : ports, server));
    }
    return "";
}

}  // namespace proxyd
