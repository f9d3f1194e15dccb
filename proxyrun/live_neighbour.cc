// SPDX-License-Identifier: MIT
#include "proxyrun/live_neighbour.h"

#include "base/handoff/instance_label.h"
#include "base/handoff/port_pair.h"
#include "base/handoff/site_socket.h"
#include "base/posix/directory.h"
#include "base/posix/unique_fd.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>

namespace proxyd {
namespace {

// The pair that a site socket of this name has been made for; nothing if it isn't one of these, or
// says nothing of its server.
std::optional<PortPair> pair_of(std::string_view file_name, const std::vector<std::string>& pairs) {
    const auto name = SiteSocketName::parse(file_name);
    if (!name) return std::nullopt;
    const auto label = InstanceLabel::parse(name->instance);
    if (!label) return std::nullopt;
    const PortPair found{name->port, label->address.port()};
    const bool is_wanted = std::ranges::any_of(
        pairs, [&](const std::string& text) { return PortPair::parse(text) == found; });
    return is_wanted ? std::optional(found) : std::nullopt;
}

}  // namespace

std::string live_neighbour_note(const std::string& site_directory,
                                const std::vector<std::string>& pairs) {
    const UniqueFd directory =
        UniqueFd::adopt(open(site_directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory.is_open()) return "";
    std::string first;
    std::optional<PortPair> taken;
    for_each_entry(directory, [&](const char* name, unsigned char) {
        const auto pair = pair_of(name, pairs);
        if (!pair || (taken && first <= name) ||
            probe_site_socket(directory, name) != SiteSocketState::Alive)
            return;
        first = name;
        taken = pair;
    });
    if (!taken) return "";
    return fmt::format(
        "another server has port {} of this site ({}/{}); if this one ends because the address is "
        "in use: with --takeover it takes that one's place, and on another port "
        "(--port {}=OTHER) it shares the clients",
        taken->server, site_directory, first, taken->edge);
}

}  // namespace proxyd
