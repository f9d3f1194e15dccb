// SPDX-License-Identifier: MIT
//
// The commands that concern proxyd as a whole.
#include "proxyctl/commands.h"
#include "proxyctl/show.h"

#include <fmt/format.h>

#include <cstdio>

namespace proxyd {
namespace {

// A large configuration, new workers, on a busy machine.
constexpr std::chrono::seconds ChangeTime{120};

void show_nothing(const Json&) {}

}  // namespace

int run_status(const Invocation& invocation) {
    return ask_and_show(invocation, {{"do", "status"}}, [](const Json& item) {
        const bool is_relay = text_at(item, "program") == "tcpshim";
        fmt::print("{}", is_relay ? show_relay_status(item) : show_status(item));
    });
}

int run_reload(const Invocation& invocation) {
    return ask_and_show(
        invocation, {{"do", "reload"}}, show_nothing,
        [](const Json& end) {
            fmt::print("The configuration is in force.\n");
            const auto warnings = end.find("warnings");
            if (warnings == end.end() || !warnings->is_array()) return;
            fflush(stdout);
            for (const Json& warning : *warnings)
                if (warning.is_string())
                    fmt::print(stderr, "{} (a warning)\n",
                               printable_text(warning.get_ref<const std::string&>()));
        },
        ChangeTime);
}

int run_upgrade(const Invocation& invocation) {
    return ask_and_show(
        invocation, {{"do", "upgrade"}}, show_nothing,
        [](const Json&) { fmt::print("The new program has taken over.\n"); }, ChangeTime);
}

int run_log_level(const Invocation& invocation) {
    Json request = {{"do", "log-level"}};
    if (!invocation.word().empty()) request["level"] = invocation.word();
    return ask_and_show(invocation, request,
                        [](const Json& item) { fmt::print("{}\n", shown(item, "level")); });
}

int run_metrics(const Invocation& invocation) {
    return ask_and_show(invocation, {{"do", "metrics"}}, [](const Json& item) {
        const auto text = item.find("text");
        if (text != item.end() && text->is_string())
            fmt::print("{}", text->get_ref<const std::string&>());
    });
}

}  // namespace proxyd
