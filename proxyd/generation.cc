// SPDX-License-Identifier: MIT
#include "proxyd/generation.h"

#include "base/daemon/log.h"
#include "proxyd/access_log.h"
#include "proxyd/metrics_http.h"
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
    auto user = find_worker_user(configuration.user);
    if (user)
        generation.user = *std::move(user);
    else
        problems.push_back(fmt::format("{}: {}", configuration.user_place, user.error()));
}

void open_log(Generation& generation, Problems& problems) {
    const Configuration& configuration = generation.configuration;
    // No new file for a start that has failed already.
    Result<UniqueFd> log = open_access_log(configuration, problems.empty());
    if (log)
        generation.access_log = *std::move(log);
    else if (problems.empty() || log.error().number != ENOENT)
        problems.push_back(fmt::format("{}: cannot open {}: {}", configuration.access_log_place,
                                       configuration.access_log, errno_text(log.error().number)));
}

// Whoever has the socket of the current generation open serves there already.
void open_metrics_socket(Generation& generation, const Generation* current, Problems& problems) {
    const MetricsAddress& address = generation.configuration.metrics;
    if (address.text.empty() || !problems.empty()) return;
    if (current && current->metrics_socket.is_open() &&
        current->configuration.metrics.text == address.text) {
        generation.metrics_socket =
            UniqueFd::adopt(fcntl(current->metrics_socket.borrow().number(), F_DUPFD_CLOEXEC, 3));
        return;
    }
    Result<UniqueFd, std::string> socket = bind_metrics_socket(address);
    if (socket)
        generation.metrics_socket = *std::move(socket);
    else
        problems.push_back(socket.error());
}

}  // namespace

Result<std::string> read_file(const std::string& path) {
    const UniqueFd file = UniqueFd::adopt(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.is_open()) return Unexpected{Errno::last()};
    std::string text;
    std::array<char, 65536> buffer;
    for (;;) {
        const ssize_t size = read(file.borrow().number(), buffer.data(), buffer.size());
        if (size < 0) return Unexpected{Errno::last()};
        if (size == 0) return text;
        text.append(buffer.data(), static_cast<size_t>(size));
    }
}

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
    if (!sites.is_open()) problems.push_back(unreadable_sites(configuration, Errno::last()));
}

std::vector<std::string> warnings_of_missing_sites(const Configuration& configuration) {
    std::vector<std::string> warnings;
    for (const SitePlace& site : places_of_sites(configuration)) {
        struct stat status;
        const bool is_there = stat(site.directory.c_str(), &status) == 0;
        if (is_there && !S_ISDIR(status.st_mode)) errno = ENOTDIR;
        if (!is_there || !S_ISDIR(status.st_mode))
            warnings.push_back(fmt::format("{}: {}: {}; clients wait until it is there", site.place,
                                           site.directory, errno_text(errno)));
    }
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
    open_log(*generation, problems);
    open_metrics_socket(*generation, current, problems);
    if (!problems.empty()) return Unexpected{std::move(problems)};
    return generation;
}

}  // namespace proxyd
