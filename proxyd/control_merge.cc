// SPDX-License-Identifier: MIT
#include "proxyd/control_merge.h"

#include <algorithm>
#include <map>
#include <optional>

namespace proxyd {
namespace {

using Json = nlohmann::json;

// The element of the array `list` whose `key` is `value`; it is added if there is none.
Json& element_with(Json& list, const char* key, const Json& value) {
    for (Json& element : list)
        if (element[key] == value) return element;
    list.push_back({{key, value}});
    return list.back();
}

// Fields that are not there yet; the worker that has looked at the directory knows more of them.
void add_missing_fields(Json& into, const Json& from) {
    for (const auto& [key, value] : from.items())
        if (!into.contains(key)) into[key] = value;
}

const Json& array_field(const Json& object, const char* key) {
    static const Json none = Json::array();
    const auto found = object.find(key);
    return found != object.end() && found->is_array() ? *found : none;
}

void add_socket(Json& into, const Json& from) {
    const uint64_t queued = count_field(into, "queued") + count_field(from, "queued");
    add_missing_fields(into, from);
    into["queued"] = queued;
}

bool has_element(const Json& list, const char* key, const Json& value) {
    return std::ranges::any_of(list, [&](const Json& element) { return element[key] == value; });
}

// `is_known_whole`: somebody has looked at the directory, and what he hasn't seen isn't there.
void add_port(Json& into, const Json& from, bool is_known_whole) {
    const uint64_t waiting = count_field(into, "waiting") + count_field(from, "waiting");
    const uint64_t oldest =
        std::max(count_field(into, "waiting_ms"), count_field(from, "waiting_ms"));
    const std::string taker = text_field(into, "last_taker");
    if (!into.contains("sockets") || !into["sockets"].is_array()) into["sockets"] = Json::array();
    for (const Json& socket : array_field(from, "sockets"))
        if (socket.is_object() && socket.contains("file") &&
            (!is_known_whole || socket.contains("state") ||
             has_element(into["sockets"], "file", socket["file"])))
            add_socket(element_with(into["sockets"], "file", socket["file"]), socket);
    into["waiting"] = waiting;
    into["waiting_ms"] = oldest;
    into["last_taker"] = taker.empty() ? Json(text_field(from, "last_taker")) : Json(taker);
    add_missing_fields(into, from);
}

void add_site(Json& into, const Json& from) {
    if (!into.contains("ports") || !into["ports"].is_array()) into["ports"] = Json::array();
    for (const Json& port : array_field(from, "ports"))
        if (port.is_object() && port.contains("port"))
            add_port(element_with(into["ports"], "port", port["port"]), port,
                     into.contains("directory"));
    add_missing_fields(into, from);
}

void sort_by(Json& list, const char* key) {
    if (!list.is_array()) return;
    std::stable_sort(list.begin(), list.end(),
                     [key](const Json& a, const Json& b) { return a.at(key) < b.at(key); });
}

void take_over_looked_at_first(std::vector<ReportPart>& parts) {
    std::ranges::stable_sort(parts, [](const ReportPart& a, const ReportPart& b) {
        return count_field(a.end, "looked") > count_field(b.end, "looked");
    });
}

}  // namespace

std::string text_field(const Json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

uint64_t count_field(const Json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

ReportPart merge_report(std::string_view what, std::vector<ReportPart> parts, size_t limit) {
    if (what == "sites") return merge_sites(std::move(parts), limit);
    if (what == "sessions") return merge_sessions(std::move(parts), limit);
    if (parts.empty()) return {};
    ReportPart only = std::move(parts.front());
    if (only.items.size() > limit) only.items.resize(limit);
    return only;
}

ReportPart merge_sites(std::vector<ReportPart> parts, size_t limit) {
    take_over_looked_at_first(parts);
    // A worker that has more has told of all directories up to its "next", and of none beyond.
    std::optional<std::string> complete_to;
    std::map<std::string, Json> sites;
    for (const ReportPart& part : parts) {
        const std::string next = text_field(part.end, "next");
        if (!next.empty() && (!complete_to || next < *complete_to)) complete_to = next;
        for (const Json& item : part.items)
            if (const std::string site = text_field(item, "site"); !site.empty())
                add_site(sites.try_emplace(site, Json{{"site", site}}).first->second, item);
    }
    ReportPart merged;
    for (auto& [site, item] : sites) {
        if (complete_to && site > *complete_to) break;
        if (merged.items.size() == limit) {
            complete_to = text_field(merged.items.back(), "site");
            break;
        }
        sort_by(item["ports"], "port");
        for (Json& port : item["ports"])
            sort_by(port["sockets"], "file");
        merged.items.push_back(std::move(item));
    }
    if (complete_to) merged.end["next"] = *complete_to;
    return merged;
}

ReportPart merge_sessions(std::vector<ReportPart> parts, size_t limit) {
    ReportPart merged;
    uint64_t omitted = 0;
    for (ReportPart& part : parts) {
        omitted += count_field(part.end, "omitted");
        std::ranges::move(part.items, std::back_inserter(merged.items));
    }
    std::ranges::stable_sort(merged.items, [](const Json& a, const Json& b) {
        return count_field(a, "age_ms") > count_field(b, "age_ms");
    });
    if (merged.items.size() > limit) {
        omitted += merged.items.size() - limit;
        merged.items.resize(limit);
    }
    if (omitted > 0) merged.end["omitted"] = omitted;
    return merged;
}

}  // namespace proxyd
