// SPDX-License-Identifier: MIT
#include "proxyd/relay_plan.h"

#include "base/daemon/log.h"

#include <errno.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

namespace proxyd {
namespace {

constexpr mode_t DirectoryMode = 0755;
constexpr mode_t SiteMode = 0750;

std::string problem_with(const std::string& path) {
    return fmt::format("{}: {}", path, errno_text(errno));
}

std::string parent_of(const std::string& path) {
    return std::filesystem::path(path).parent_path().string();
}

std::string make_site(const std::string& path, gid_t workers_group) {
    if (mkdir(path.c_str(), SiteMode) != 0 && errno != EEXIST) return problem_with(path);
    // Only root has workers of another group; site sockets get the group of their directory.
    if (geteuid() == 0 && chown(path.c_str(), geteuid(), workers_group) != 0)
        return problem_with(path);
    if (chmod(path.c_str(), SiteMode) != 0) return problem_with(path);
    return "";
}

void remove_others(const RelayPlan& plan) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(plan.directory, error))
        if (entry.is_directory(error) &&
            std::ranges::find(plan.site_directories, entry.path().string()) ==
                plan.site_directories.end())
            rmdir(entry.path().c_str());
}

// Each once, in the order of the file: the first one is what a backend without a port is checked
// at.
std::vector<uint16_t> ports_of(const std::vector<SocketAddress>& addresses) {
    std::vector<uint16_t> ports;
    for (const SocketAddress& address : addresses)
        if (std::ranges::find(ports, address.port()) == ports.end())
            ports.push_back(address.port());
    return ports;
}

// Where routes decide.
std::vector<SocketAddress> routed_addresses(const Configuration& configuration) {
    std::vector<SocketAddress> addresses;
    for (const ListenerConfiguration& listener : configuration.listeners)
        if (listener.site.empty())
            addresses.insert(addresses.end(), listener.addresses.begin(), listener.addresses.end());
    return addresses;
}

}  // namespace

RelayPlan relay_plan_of(const Configuration& configuration) {
    RelayPlan plan;
    shim::Configuration relay = configuration.tcpshim.configuration;
    relay.daemon.user = configuration.daemon.user;
    // What was not given must not keep tcpshim from starting where somebody else has it.
    if (relay.daemon.control_place.empty()) relay.daemon.control.clear();
    const auto add = [&](const std::string& directory, const shim::SiteConfiguration* site,
                         std::vector<uint16_t> ports) {
        if (site == nullptr || ports.empty()) return;
        plan.site_directories.push_back(directory);
        relay.sites.push_back(*site);
        relay.sites.back().directory = directory;
        relay.sites.back().ports = std::move(ports);
    };
    const std::vector<uint16_t> ports = ports_of(routed_addresses(configuration));
    for (const RouteConfiguration& route : configuration.routes)
        add(route.site_directory, route.relay.get(), ports);
    for (const ListenerConfiguration& listener : configuration.listeners)
        add(listener.site, listener.relay.get(), ports_of(listener.addresses));
    if (relay.sites.empty()) return plan;
    plan.directory = configuration.tcpshim.directory;
    plan.text = shim::print_configuration(relay);
    return plan;
}

Result<void, std::string> make_relay_directories(const RelayPlan& plan, gid_t workers_group) {
    if (plan.is_empty()) return {};
    const bool is_new = mkdir(plan.directory.c_str(), DirectoryMode) == 0;
    if ((!is_new && errno != EEXIST) ||
        (is_new && chmod(plan.directory.c_str(), DirectoryMode) != 0))  // whatever the umask is
        return Unexpected{
            problem_with(errno == ENOENT ? parent_of(plan.directory) : plan.directory)};
    for (const std::string& site : plan.site_directories)
        if (std::string problem = make_site(site, workers_group); !problem.empty())
            return Unexpected{std::move(problem)};
    remove_others(plan);
    return {};
}

}  // namespace proxyd
