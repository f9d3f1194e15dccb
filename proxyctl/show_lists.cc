// SPDX-License-Identifier: MIT
#include "proxyctl/show.h"

#include <fmt/format.h>

namespace proxyd {
namespace {

std::string state_text(const Json& session) {
    const std::string state = text_at(session, "state");
    if (state == "awaiting_proxy_header") return "awaits PROXY header";
    if (state == "awaiting_hello") return "awaits hello";
    if (state == "awaiting_site") return "awaits site";
    return state;
}

std::string joined(const Json& object, const char* key) {
    std::string text;
    const auto found = object.find(key);
    if (found == object.end() || !found->is_array()) return text;
    for (const Json& element : *found)
        if (element.is_string())
            text +=
                (text.empty() ? "" : ",") + printable_text(element.get_ref<const std::string&>());
    return text;
}

std::string route_note(const Json& route) {
    std::string note;
    for (const char* key : {"allow", "deny"})
        if (const std::string list = joined(route, key); !list.empty())
            note += fmt::format("{}{} {}{}", note.empty() ? "" : ", ", key, list,
                                route.contains(std::string(key) + "_omitted") ? ",..." : "");
    for (const Json& alpn : objects_at(route, "alpn"))
        note += fmt::format("{}alpn {} to {}", note.empty() ? "" : ", ", shown(alpn, "protocol"),
                            shown(alpn, "site"));
    return note;
}

}  // namespace

std::string show_sessions(const std::vector<Json>& sessions) {
    Table table(
        {"SESSION", "CLIENT", "LISTENER", "PROTOCOL", "NAME", "STATE", ">AGE", ">BYTES", "SITE"});
    for (const Json& session : sessions)
        table.add({shown(session, "id"), shown(session, "client"), shown(session, "listener"),
                   shown(session, "protocol"), shown(session, "name"), state_text(session),
                   duration_text(number_at(session, "age_ms")), shown(session, "bytes_seen"),
                   shown(session, "site")});
    return table.text();
}

std::string show_routes(const std::vector<Json>& routes) {
    Table table({"ROUTE", "SITE", ">LINE", "NOTE"});
    for (const Json& route : routes)
        table.add(
            {shown(route, "route"), shown(route, "site"), shown(route, "line"), route_note(route)});
    return table.text();
}

}  // namespace proxyd
