// SPDX-License-Identifier: MIT
#include "proxyd/generation.h"

#include "base/daemon/line_log.h"
#include "base/daemon/log.h"
#include "base/daemon/metrics/metrics_http.h"
#include "base/daemon/process_start.h"
#include "proxyd/sandbox.h"
#include "proxyd/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

namespace proxyd {
namespace {

void add_user_problem(Generation& generation, Problems& problems) {
    const Configuration& configuration = generation.configuration;
    auto user = find_worker_user(configuration.daemon.user);
    if (user)
        generation.user = *std::move(user);
    else
        problems.push_back(fmt::format("{}: {}", configuration.daemon.user_place, user.error()));
}

std::string directory_of(const std::string& path) {
    const size_t slash = path.rfind('/');
    if (slash == path.npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

bool has_directory(const std::string& path) {
    struct stat status;
    return stat(directory_of(path).c_str(), &status) == 0;
}

void open_log(Generation& generation, Problems& problems) {
    const Configuration& configuration = generation.configuration;
    // No new file for a start that has failed already.
    Result<UniqueFd> log = open_line_log(configuration.daemon.access_log, problems.empty());
    if (log)
        generation.access_log = *std::move(log);
    else if (problems.empty() || log.error().number != ENOENT ||
             !has_directory(configuration.daemon.access_log))
        problems.push_back(
            fmt::format("{}: cannot open {}: {}", configuration.daemon.access_log_place,
                        configuration.daemon.access_log, errno_text(log.error().number)));
}

// Whoever has the socket of the current generation open serves there already.
// Whether it was not there before.
bool open_metrics_socket(Generation& generation, const Generation* current, Problems& problems) {
    const MetricsAddress& address = generation.configuration.daemon.metrics;
    if (address.text.empty()) return false;
    if (current && current->metrics_socket.is_open() &&
        current->configuration.daemon.metrics.text == address.text) {
        generation.metrics_socket =
            UniqueFd::adopt(fcntl(current->metrics_socket.borrow().number(), F_DUPFD_CLOEXEC, 3));
        return false;
    }
    Result<UniqueFd, std::string> socket = bind_metrics_socket(address);
    if (socket)
        generation.metrics_socket = *std::move(socket);
    else
        problems.push_back(socket.error());
    return generation.metrics_socket.is_open();
}

void make_place_for_relay(Generation& generation, Problems& problems) {
    generation.relay = relay_plan_of(generation.configuration);
    const auto made = make_relay_directories(generation.relay, generation.user.gid);
    if (!made)
        problems.push_back(
            fmt::format("{}: tcpshim.directory: {}", generation.configuration.file, made.error()));
}

}  // namespace

Result<std::string, Problems> read_configuration_text(const std::string& file) {
    Result<std::string> text = read_file(file);
    if (!text)
        return Unexpected{Problems{
            fmt::format("{}: cannot be read: {}{}", file, errno_text(text.error().number),
                        text.error().number == ENOENT ? "; --config says where it is" : "")}};
    return *std::move(text);
}

void add_sites_problem(const Configuration& configuration, Problems& problems) {
    if (configuration.sites.empty()) return;
    const UniqueFd sites =
        UniqueFd::adopt(open(configuration.sites.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!sites.is_open()) problems.push_back(unreadable_sites(configuration, "", Errno::last()));
}

std::vector<std::string> warnings_of_missing_directories(const Configuration& configuration) {
    std::vector<std::string> warnings;
    const auto look_for = [&](std::string_view place, const std::string& path) {
        if (path.starts_with('/') && !has_directory(path))
            warnings.push_back(
                fmt::format("{}: {}: {}", place, directory_of(path), errno_text(errno)));
    };
    look_for(configuration.daemon.access_log_place, configuration.daemon.access_log);
    look_for(configuration.daemon.metrics.place, configuration.daemon.metrics.path);
    // The default may be missing: proxyd does without.
    if (!configuration.daemon.control_place.empty())
        look_for(configuration.daemon.control_place, configuration.daemon.control);
    if (const RelayPlan relay = relay_plan_of(configuration); !relay.is_empty())
        look_for(configuration.file + ": tcpshim.directory", relay.directory);
    return warnings;
}

Result<std::unique_ptr<Generation>, Problems> prepare_generation(uint64_t number, std::string text,
                                                                 Configuration configuration,
                                                                 const Generation* current) {
    auto generation = std::make_unique<Generation>();
    generation->number = number;
    generation->text = std::move(text);
    generation->configuration = std::move(configuration);
    Problems problems;
    add_user_problem(*generation, problems);
    generation->addresses = bind_listening_sockets(
        generation->configuration, current ? current->addresses : ListeningAddresses{}, problems);
    add_sites_problem(generation->configuration, problems);
    make_place_for_relay(*generation, problems);
    const bool has_new_metrics_socket = open_metrics_socket(*generation, current, problems);
    open_log(*generation, problems);
    generation->routes = std::make_shared<ConfiguredRoutes>(generation->configuration.routes,
                                                            generation->configuration.alpn);
    if (!problems.empty()) {
        if (has_new_metrics_socket) remove_metrics_socket(generation->configuration.daemon.metrics);
        return Unexpected{std::move(problems)};
    }
    return generation;
}

}  // namespace proxyd
