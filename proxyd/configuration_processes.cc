// SPDX-License-Identifier: MIT
#include "proxyd/configuration_parts.h"

#include <sched.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace proxyd {
namespace {

constexpr size_t WorkersMax = 32;
constexpr size_t DefaultWorkersMax = 4;

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

void print_processes(const Configuration& configuration, nlohmann::ordered_json& out) {
    out["workers"] = configuration.workers;
    print_user(configuration.daemon, out);
    print_worker_timeout(configuration.daemon, out);
}

}  // namespace proxyd
