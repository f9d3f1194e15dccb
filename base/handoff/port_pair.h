// SPDX-License-Identifier: MIT
//
// PortPair: which of proxyd's ports a server gets its clients from, for which port that it binds:
// "EDGE[=SERVER]", as proxyrun's --port and libpreload's PROXYD_PORTS have it. Header only.
#pragma once

#include <stdint.h>

#include <charconv>
#include <optional>
#include <string_view>

namespace proxyd {

struct PortPair {
    uint16_t edge = 0;    // where clients connect: the first part of the site socket's name
    uint16_t server = 0;  // what the program binds

    // Ports from 1 to 65535, in decimal digits and nothing else.
    static std::optional<PortPair> parse(std::string_view text) {
        PortPair pair;
        const char* const end = text.data() + text.size();
        const char* const rest = parse_port(text.data(), end, pair.edge);
        if (rest == nullptr) return std::nullopt;
        pair.server = pair.edge;
        if (rest == end) return pair;
        if (*rest != '=' || parse_port(rest + 1, end, pair.server) != end) return std::nullopt;
        return pair;
    }

    friend bool operator==(const PortPair&, const PortPair&) = default;

  private:
    // What follows the port; null if there is none.
    static const char* parse_port(const char* text, const char* end, uint16_t& port) {
        const auto [rest, error] = std::from_chars(text, end, port);
        return error == std::errc() && port != 0 ? rest : nullptr;
    }
};

}  // namespace proxyd
