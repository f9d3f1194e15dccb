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

std::vector<uint16_t> ports_of(const Configuration& configuration) {
    std::vector<uint16_t> ports;
    for (const ListenerConfiguration& listener : configuration.listeners)
        if (listener.site.empty())
            for (const SocketAddress& address : listener.addresses)
                ports.push_back(address.port());
    std::ranges::sort(ports);
    const auto [first, last] = std::ranges::unique(ports);
    ports.erase(first, last);
    return ports;
}

}  // namespace

RelayPlan relay_plan_of(const Configuration& configuration) {
    RelayPlan plan;
    shim::Configuration relay = configuration.tcpshim.configuration;
    relay.daemon.user = configuration.daemon.user;
    const std::vector<uint16_t> ports = ports_of(configuration);
    for (const RouteConfiguration& route : configuration.routes) {
        if (route.relay == nullptr) continue;
        plan.site_directories.push_back(route.site_directory);
        relay.sites.push_back(*route.relay);
        relay.sites.back().directory = route.site_directory;
        relay.sites.back().ports = ports;
    }
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
        return Unexpected{problem_with(plan.directory)};
    for (const std::string& site : plan.site_directories)
        if (std::string problem = make_site(site, workers_group); !problem.empty())
            return Unexpected{std::move(problem)};
    remove_others(plan);
    return {};
}

}  // namespace proxyd
