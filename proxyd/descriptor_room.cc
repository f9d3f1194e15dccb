// SPDX-License-Identifier: MIT
#include "proxyd/descriptor_room.h"

#include <fmt/format.h>
#include <sys/resource.h>

namespace proxyd {
namespace {

// Descriptors that are not for clients: logs, loop, listeners, and reading a site directory.
constexpr size_t DescriptorsKept = 16;

}  // namespace

size_t descriptor_limit() {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

size_t affordable_sessions(size_t descriptor_limit) {
    if (descriptor_limit <= 2 * DescriptorsKept) return 4;
    return descriptor_limit - DescriptorsKept - descriptor_limit / 4;
}

size_t share_of_worker(size_t limit, size_t workers) {
    return (limit + workers - 1) / workers;
}

std::vector<std::string> warnings_of_sessions(const Configuration& configuration,
                                              size_t descriptor_limit) {
    const size_t affordable = affordable_sessions(descriptor_limit);
    if (share_of_worker(configuration.sessions_max, configuration.workers) <= affordable) return {};
    const bool is_default = configuration.sessions_max_place.empty();
    return {fmt::format(
        "{}: is {}{}, but the limit of open files (RLIMIT_NOFILE, {}) leaves each worker room for "
        "{}, {} in all: raise it (LimitNOFILE= of a service, ulimit -n), or lower sessions_max",
        is_default ? configuration.file + ": sessions_max" : configuration.sessions_max_place,
        configuration.sessions_max, is_default ? " by default" : "", descriptor_limit, affordable,
        affordable * configuration.workers)};
}

}  // namespace proxyd
