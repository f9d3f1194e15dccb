// SPDX-License-Identifier: MIT
//
// GuestConfig: what the environment asks of libpreload (README.md, "Environment"), read once. Used
// by all of libpreload. It reports nothing: what is unusable makes the library a bystander, and
// `problem` says why to whoever traces.
#pragma once

#include "base/handoff/port_pair.h"

#include <limits.h>
#include <stdint.h>

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

namespace proxyd {

struct GuestConfig {
    static constexpr size_t PortsMax = 64;

    static constexpr size_t InheritedMax = 64;

    struct InheritedSocket {
        uint16_t edge = 0;
        int number = -1;  // of the descriptor
    };

    bool is_active = false;  // false: everything is libc's
    bool takes_over = false;
    bool traces = false;
    const char* problem = nullptr;  // why it is not active although PROXYD_SITE is set

    // The site directory with a slash at its end.
    std::string_view site_prefix() const { return {site_prefix_bytes.data(), site_prefix_length}; }
    std::optional<uint16_t> edge_port_of(uint16_t server_port) const;
    std::optional<uint16_t> server_port_of(uint16_t edge_port) const;

    std::array<char, PATH_MAX + 1> site_prefix_bytes{};  // NUL-terminated
    size_t site_prefix_length = 0;
    std::array<PortPair, PortsMax> ports{};
    size_t port_count = 0;
    std::array<InheritedSocket, InheritedMax> inherited{};  // PROXYD_SOCKETS
    size_t inherited_count = 0;
    std::array<char, PATH_MAX + 1> keeper_path{};  // PROXYD_KEEPER; "": there is none
};

// Read at load by the library's constructor, or by an earlier call.
const GuestConfig& guest_config();

}  // namespace proxyd
