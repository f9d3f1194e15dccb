// SPDX-License-Identifier: MIT
#include "libpreload/guest_config.h"

#include <stdlib.h>
#include <string.h>

#include <atomic>
#include <charconv>

namespace proxyd {
namespace {

constexpr const char* PortsDefault = "443,80";

constinit GuestConfig config;
constinit std::atomic<bool> is_loaded{false};

bool is_switched_on(const char* variable) {
    const char* const value = secure_getenv(variable);
    return value != nullptr && strcmp(value, "1") == 0;
}

bool read_site(const char* directory) {
    const size_t length = strlen(directory);
    if (directory[0] != '/' || length + 2 > config.site_prefix_bytes.size()) return false;
    memcpy(config.site_prefix_bytes.data(), directory, length);
    config.site_prefix_length = length;
    if (directory[length - 1] != '/') config.site_prefix_bytes[config.site_prefix_length++] = '/';
    config.site_prefix_bytes[config.site_prefix_length] = '\0';
    return true;
}

// A port number at `text`, which moves behind it.
std::optional<uint16_t> read_port(const char*& text, const char* end) {
    uint16_t port = 0;
    const auto [rest, error] = std::from_chars(text, end, port);
    if (error != std::errc() || port == 0) return std::nullopt;
    text = rest;
    return port;
}

// EDGE[=SERVER] with commas between them.
bool read_ports(const char* text) {
    const char* const end = text + strlen(text);
    config.port_count = 0;
    while (config.port_count < GuestConfig::PortsMax) {
        const auto edge = read_port(text, end);
        if (!edge) return false;
        std::optional<uint16_t> server = edge;
        if (*text == '=') server = read_port(++text, end);
        if (!server) return false;
        config.ports[config.port_count++] = {*edge, *server};
        if (text == end) return true;
        if (*text++ != ',') return false;
    }
    return false;
}

// Idempotent: two threads that come here at once write the same bytes.
void load() {
    const char* const site = secure_getenv("PROXYD_SITE");
    if (site == nullptr || *site == '\0') return;
    config.takes_over = is_switched_on("PROXYD_TAKEOVER");
    config.traces = is_switched_on("PROXYD_TRACE");
    const char* const ports = secure_getenv("PROXYD_PORTS");
    if (!read_site(site)) {
        config.problem = "PROXYD_SITE is not the absolute path of a directory";
    } else if (!read_ports(ports != nullptr ? ports : PortsDefault)) {
        config.problem = "PROXYD_PORTS is not EDGE[=SERVER],... with ports from 1 to 65535";
    } else {
        config.is_active = true;
    }
}

}  // namespace

std::optional<uint16_t> GuestConfig::edge_port_of(uint16_t server_port) const {
    for (size_t i = 0; i < port_count; i++) {
        if (ports[i].server == server_port) return ports[i].edge;
    }
    return std::nullopt;
}

std::optional<uint16_t> GuestConfig::server_port_of(uint16_t edge_port) const {
    for (size_t i = 0; i < port_count; i++) {
        if (ports[i].edge == edge_port) return ports[i].server;
    }
    return std::nullopt;
}

const GuestConfig& guest_config() {
    if (!is_loaded.load(std::memory_order_acquire)) {
        load();
        is_loaded.store(true, std::memory_order_release);
    }
    return config;
}

}  // namespace proxyd
