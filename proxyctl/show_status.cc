// SPDX-License-Identifier: MIT
#include "proxyctl/show.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace proxyd {
namespace {

std::string listeners_text(const Json& status) {
    std::vector<std::string> texts;
    for (const Json& listener : objects_at(status, "listeners")) {
        const std::string site = text_at(listener, "site");
        texts.push_back(shown(listener, "address") +
                        (site.empty() ? "" : fmt::format(" (site {})", site)));
    }
    return texts.empty() ? "-" : fmt::format("{}", fmt::join(texts, ", "));
}

std::string configuration_text(const Json& status) {
    std::string text =
        fmt::format("{}, loaded {} ago (generation {}), routes: {}", shown(status, "configuration"),
                    duration_text(number_at(status, "configuration_age_ms")),
                    shown(status, "generation"), shown(status, "routes"));
    const std::string sites = text_at(status, "sites");
    if (!sites.empty()) text += ", sites in " + sites;
    return text;
}

// Each in a line of its own.
std::string problems_text(const Json& object) {
    std::string text;
    const auto problems = object.find("problems");
    if (problems != object.end() && problems->is_array())
        for (const Json& problem : *problems)
            if (problem.is_string())
                text += "\n    " + printable_text(problem.get_ref<const std::string&>());
    return text;
}

std::string reload_text(const Json& reload) {
    std::string text = fmt::format("{} {} ago", flag_at(reload, "ok") ? "fine" : "failed",
                                   duration_text(number_at(reload, "age_ms")));
    return text + problems_text(reload);
}

std::string uptime_text(const Json& status) {
    const uint64_t process = number_at(status, "uptime_ms");
    const uint64_t program =
        status.contains("program_uptime_ms") ? number_at(status, "program_uptime_ms") : process;
    std::string text = duration_text(process);
    if (process > program) text += fmt::format(", upgraded {} ago", duration_text(program));
    return text;
}

std::string confinement(const Json& status) {
    const uint64_t landlock = number_at(status, "landlock");
    return landlock == 0 ? "confined by seccomp (this kernel has no Landlock)"
                         : fmt::format("confined by seccomp and Landlock {}", landlock);
}

std::string relay_text(const Json& relay) {
    const std::string process =
        number_at(relay, "pid") == 0 ? "to be started again" : "process " + shown(relay, "pid");
    return fmt::format("{}, started again {} times; ask it with proxyctl --control {}{}", process,
                       shown(relay, "restarts"), shown(relay, "control"), problems_text(relay));
}

}  // namespace

std::string show_status(const Json& status) {
    std::string text = fmt::format("proxyd {}, process {}, up {}\n", shown(status, "version"),
                                   shown(status, "pid"), uptime_text(status));
    text += fmt::format("configuration  {}\n", configuration_text(status));
    text += fmt::format("listening on   {}\n", listeners_text(status));
    text += fmt::format("workers run as {}, {}\n", shown(status, "user"), confinement(status));
    text += fmt::format("log level      {}\n", shown(status, "log_level"));
    const auto reload = status.find("last_reload");
    if (reload != status.end() && reload->is_object())
        text += fmt::format("last reload    {}\n", reload_text(*reload));
    const auto relay = status.find("tcpshim");
    if (relay != status.end() && relay->is_object())
        text += fmt::format("tcpshim        {}\n", relay_text(*relay));
    Table table({">WORKER", ">PROCESS", ">GENERATION", "STATE", ">UP", ">SESSIONS", ">HANDED OVER",
                 ">REJECTED", ">CLOSED", ">TIMED OUT"});
    for (const Json& worker : objects_at(status, "workers"))
        table.add({shown(worker, "worker"), shown(worker, "pid"), shown(worker, "generation"),
                   shown(worker, "state"), duration_text(number_at(worker, "uptime_ms")),
                   shown(worker, "sessions"), shown(worker, "handed_over"),
                   shown(worker, "rejected"), shown(worker, "closed"), shown(worker, "timed_out")});
    return text + "\n" + table.text();
}

}  // namespace proxyd
