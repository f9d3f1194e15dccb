// SPDX-License-Identifier: MIT
#include "base/daemon/configuration/configuration_values.h"
#include "proxyd/configuration_parts.h"

#include <sched.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace proxyd {
namespace {

constexpr size_t WorkersMax = 32;
constexpr size_t DefaultWorkersMax = 4;
constexpr auto WorkerTimeoutMin = std::chrono::milliseconds(1000);

}  // namespace

size_t default_workers() {
    cpu_set_t processors;
    CPU_ZERO(&processors);
    if (sched_getaffinity(0, sizeof(processors), &processors) != 0) return 1;
    return std::clamp<size_t>(static_cast<size_t>(CPU_COUNT(&processors)), 1, DefaultWorkersMax);
}

void read_workers(ConfigurationReader& reader, const JsonMember& member,
                  Configuration& configuration) {
    reader.read_count(member, 1, WorkersMax, configuration.workers);
}

void read_worker_timeout(ConfigurationReader& reader, const JsonMember& member,
                         Configuration& configuration) {
    std::chrono::milliseconds timeout = configuration.worker_timeout;
    reader.read_duration(member, std::chrono::milliseconds(0), timeout);
    // A busy machine takes its time.
    if (timeout.count() > 0 && timeout < WorkerTimeoutMin)
        reader.add_error(member.value.line, "worker_timeout",
                         "is '{}', \"0s\" (never) or a duration from \"{}\" to \"1h\" is allowed",
                         format_duration(timeout), format_duration(WorkerTimeoutMin));
    else
        configuration.worker_timeout = timeout;
}

void print_processes(const Configuration& configuration, nlohmann::ordered_json& out) {
    out["workers"] = configuration.workers;
    print_user(configuration.daemon, out);
    out["worker_timeout"] = format_duration(configuration.worker_timeout);
}

}  // namespace proxyd
