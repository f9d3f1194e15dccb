// SPDX-License-Identifier: MIT
#include "proxyctl/show.h"

#include <fmt/format.h>

#include <iterator>

namespace proxyd {
namespace {

std::string show_session_event(const Json& event) {
    std::string line = fmt::format("{} {} {}", shown(event, "time"), shown(event, "verdict"),
                                   shown(event, "client"));
    for (const char* key : {"protocol", "name"})
        if (const std::string text = text_at(event, key); !text.empty()) line += " " + text;
    const std::string site = text_at(event, "site");
    if (!site.empty()) line += " -> " + site;
    line += fmt::format(" ({})", shown(event, "reason"));
    return line;
}

}  // namespace

std::string show_event(const Json& event) {
    if (event.contains("lost"))
        return fmt::format("... {} events are lost: this reader did not keep up",
                           shown(event, "lost"));
    if (text_at(event, "event") == "lost")
        return fmt::format("... {} events are lost: proxyd did not keep up", shown(event, "count"));
    if (text_at(event, "event") == "session") return show_session_event(event);
    std::string line = fmt::format("{} {}", shown(event, "time"), shown(event, "event"));
    for (const auto& [key, value] : event.items())
        if (key != "time" && key != "event")
            fmt::format_to(std::back_inserter(line), " {}={}", printable_text(key),
                           shown(event, key.c_str()));
    return line;
}

}  // namespace proxyd
