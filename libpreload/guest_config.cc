// SPDX-License-Identifier: MIT
#include "libpreload/guest_config.h"

#include <stdlib.h>
#include <string.h>

#include <algorithm>
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

// Calls take(word) for each of the words with commas between them; false if it ever does.
template <typename Take>
bool for_each_word(std::string_view text, Take take) {
    while (true) {
        const size_t end = std::min(text.find(','), text.size());
        if (!take(std::string_view(text.data(), end))) return false;
        if (end == text.size()) return true;
        text.remove_prefix(end + 1);
    }
}

// EDGE[=SERVER] with commas between them.
bool read_ports(const char* text) {
    config.port_count = 0;
    return for_each_word(text, [](std::string_view word) {
        const auto pair = PortPair::parse(word);
        if (!pair || config.port_count == GuestConfig::PortsMax) return false;
        config.ports[config.port_count++] = *pair;
        return true;
    });
}

// EDGE=DESCRIPTOR with commas between them; what can't be read is passed over.
void read_inherited(const char* text) {
    config.inherited_count = 0;
    for_each_word(text, [](std::string_view word) {
        GuestConfig::InheritedSocket socket;
        const char* const end = word.data() + word.size();
        const auto edge = std::from_chars(word.data(), end, socket.edge);
        if (edge.ec != std::errc() || edge.ptr == end || *edge.ptr != '=') return true;
        const auto number = std::from_chars(edge.ptr + 1, end, socket.number);
        if (number.ec != std::errc() || number.ptr != end || socket.number < 0) return true;
        if (config.inherited_count < GuestConfig::InheritedMax)
            config.inherited[config.inherited_count++] = socket;
        return true;
    });
}

void read_prepared_sockets() {
    const char* const inherited = secure_getenv("PROXYD_SOCKETS");
    if (inherited != nullptr) read_inherited(inherited);
    const char* const keeper = secure_getenv("PROXYD_KEEPER");
    if (keeper != nullptr && strlen(keeper) < config.keeper_path.size())
        strcpy(config.keeper_path.data(), keeper);
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
        read_prepared_sockets();
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
