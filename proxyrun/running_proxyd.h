// SPDX-License-Identifier: MIT
//
// RunningProxyd: what proxyrun wants to know of a proxyd that runs: the ports of its listeners, and
// who its workers are. It is asked at its control socket (docs/CONTROL.md, "status"); where there
// is none, or this user may not ask, nothing is known. Used by proxyrun's main() and launch.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <vector>

namespace proxyd {

inline constexpr const char* DefaultControlSocket = "/run/proxyd/control.sock";

struct RunningProxyd {
    struct Listener {
        uint16_t port = 0;
        std::string site;  // "" if clients go where their names lead
    };
    std::vector<Listener> listeners;
    std::string user;  // of its workers; "" if not known

    // Waits for a second at most.
    static RunningProxyd ask(const std::string& control_socket);
    static RunningProxyd from(const nlohmann::ordered_json& status);

    // Where clients of the site may come in, in ascending order; 443 and 80 always.
    std::vector<uint16_t> edge_ports_of(const std::string& site_directory) const;

    // Why nobody may come by one of these EDGE[=SERVER], and what was probably meant; "" if nothing
    // is known against them. One line for the user.
    std::string edge_warning(const std::string& site_directory,
                             const std::vector<std::string>& pairs) const;

  private:
    std::set<uint16_t> ports_of_listeners(const std::string& site_directory) const;
};

}  // namespace proxyd
