// SPDX-License-Identifier: MIT
#include "proxyctl/show.h"

#include <fmt/format.h>

namespace proxyd {
namespace {

std::string outcome_text(const Json& step) {
    const std::string outcome = text_at(step, "outcome");
    return outcome == "no_match" ? "no match" : outcome;
}

std::string verdict_text(const Json& explanation) {
    if (text_at(explanation, "verdict") == "rejected")
        return fmt::format("rejected: {}\n", shown(explanation, "reason"));
    return fmt::format("goes to {}, port {}, by route {} ({})\n", shown(explanation, "site"),
                       shown(explanation, "port"), shown(explanation, "route"),
                       shown(explanation, "reason"));
}

bool is_any(const std::vector<Json>& sockets, std::string_view state) {
    for (const Json& socket : sockets)
        if (text_at(socket, "state") == state) return true;
    return false;
}

std::string other_ports_text(const Json& explanation) {
    std::string text;
    const auto ports = explanation.find("other_ports");
    if (ports == explanation.end() || !ports->is_array()) return text;
    for (const Json& port : *ports)
        if (port.is_number_unsigned())
            text += fmt::format("{}{}", text.empty() ? "" : ", ", port.get<uint64_t>());
    return text;
}

std::string site_text(const Json& explanation) {
    const auto sockets = objects_at(explanation, "sockets");
    std::string text;
    Table table({"SOCKET", "STATE", ">QUEUED", "NOTE"});
    for (auto& row : socket_rows(explanation))
        table.add(std::move(row));
    if (!table.empty()) text += table.text();
    if (is_any(sockets, "live")) return text;
    if (const std::string trouble = why_unusable(explanation); !trouble.empty())
        text +=
            fmt::format("{}. A client waits, and is rejected if that doesn't change.\n", trouble);
    else if (is_any(sockets, "not_permitted"))
        text +=
            "proxyd may not send to what is there: a client waits, and is rejected if that doesn't "
            "change.\n";
    else if (is_any(sockets, "stream"))
        text +=
            "What is there is no receiver's socket, but one to which one connects: a client waits, "
            "and is rejected if that doesn't change.\n";
    else
        text +=
            "Nobody listens there now: a client waits, and is rejected if that doesn't change.\n";
    const std::string others = other_ports_text(explanation);
    if (!others.empty())
        text +=
            fmt::format("The site's live sockets are for port {}: --port asks for that.\n", others);
    return text;
}

}  // namespace

std::string show_explanation(const Json& explanation) {
    Table table({"RULE", "KEY", "OUTCOME", "WHY"});
    for (const Json& step : objects_at(explanation, "steps"))
        table.add(
            {shown(step, "rule"), shown(step, "key"), outcome_text(step), text_at(step, "text")});
    std::string text = table.text() + "\n" + verdict_text(explanation);
    if (text_at(explanation, "verdict") != "rejected") text += site_text(explanation);
    return text;
}

}  // namespace proxyd
