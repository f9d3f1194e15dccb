// SPDX-License-Identifier: MIT
//
// What tcpshim tells of itself, its sites and its backends.
#include "proxyctl/show.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>

namespace proxyd {
namespace {

// "340", "12K", "3.4M", "1.2G": bytes, with 1024 for the next unit.
std::string bytes_text(uint64_t bytes) {
    constexpr std::array<char, 5> Units = {'K', 'M', 'G', 'T', 'P'};
    if (bytes < 1024) return fmt::format("{}", bytes);
    double value = static_cast<double>(bytes);
    size_t unit = 0;
    for (value /= 1024; value >= 999.5 && unit + 1 < Units.size(); value /= 1024)
        unit++;
    return fmt::format("{:.{}f}{}", value, value < 9.95 ? 1 : 0, Units[unit]);
}

std::string ports_text(const Json& site) {
    const auto ports = site.find("ports");
    if (ports == site.end() || !ports->is_array()) return "-";
    std::vector<std::string> texts;
    for (const Json& port : *ports)
        if (port.is_number_unsigned()) texts.push_back(fmt::format("{}", port.get<uint64_t>()));
    return texts.empty() ? "-" : fmt::format("{}", fmt::join(texts, ","));
}

std::string confinement(const Json& status) {
    const uint64_t landlock = number_at(status, "landlock");
    return landlock == 0 ? "confined by seccomp (this kernel has no Landlock)"
                         : fmt::format("confined by seccomp and Landlock {}", landlock);
}

std::string sites_table(const Json& status) {
    Table table({"SITE", "PORTS", ">UP", ">BACKENDS", ">ACTIVE", ">CONNECTIONS", ">RETRIED",
                 ">TO BACKEND", ">TO CLIENT"});
    for (const Json& site : objects_at(status, "sites"))
        table.add({shown(site, "site"), ports_text(site), shown(site, "backends_up"),
                   shown(site, "backends"), shown(site, "active"), shown(site, "connections"),
                   shown(site, "retried"), bytes_text(number_at(site, "to_backend")),
                   bytes_text(number_at(site, "to_client"))});
    return table.text();
}

std::string workers_table(const Json& status) {
    Table table({">PROCESS", "STATE", ">GENERATION", ">UP", ">ACTIVE"});
    for (const Json& worker : objects_at(status, "workers"))
        table.add({shown(worker, "pid"), shown(worker, "state"), shown(worker, "generation"),
                   duration_text(number_at(worker, "uptime_ms")), shown(worker, "active")});
    return table.text();
}

}  // namespace

std::string show_relay_status(const Json& status) {
    std::string text =
        fmt::format("tcpshim {}, process {}, up {}\n", shown(status, "version"),
                    shown(status, "pid"), duration_text(number_at(status, "uptime_ms")));
    const std::string file = text_at(status, "configuration");
    text += fmt::format("configuration  {}, loaded {} ago (generation {})\n",
                        file.empty() ? "command line" : shown(status, "configuration"),
                        duration_text(number_at(status, "configuration_age_ms")),
                        shown(status, "generation"));
    text += fmt::format("worker runs as {}, {}\n", shown(status, "user"), confinement(status));
    text += fmt::format("log level      {}\n", shown(status, "log_level"));
    return text + "\n" + sites_table(status) + "\n" + workers_table(status);
}

std::string show_backends(const std::vector<Json>& backends) {
    if (backends.empty()) return "no backends\n";
    Table table({"SITE", "BACKEND", "STATE", ">FOR", ">ACTIVE", ">CONNECTIONS", ">FAILURES",
                 ">TO BACKEND", ">TO CLIENT", "CAUSE"});
    for (const Json& backend : backends) {
        const auto since = backend.find("since_ms");
        const bool has_since = since != backend.end() && since->is_number_unsigned();
        table.add({shown(backend, "site"), shown(backend, "backend"), shown(backend, "state"),
                   has_since ? duration_text(number_at(backend, "since_ms")) : "-",
                   shown(backend, "active"), shown(backend, "connections"),
                   shown(backend, "failures"), bytes_text(number_at(backend, "to_backend")),
                   bytes_text(number_at(backend, "to_client")), shown(backend, "cause")});
    }
    return table.text();
}

}  // namespace proxyd
