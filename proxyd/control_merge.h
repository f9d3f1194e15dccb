// SPDX-License-Identifier: MIT
//
// What workers report, each for itself, put together to one answer: pure functions over JSON as
// docs/CONTROL.md describes it. Used by report_collector. A worker that gives nonsense is believed
// as far as the types of its fields are right: it may be owned by an attacker, main may not.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace proxyd {

// The items that one worker gave, and the fields of its last line.
struct ReportPart {
    std::vector<nlohmann::json> items;
    nlohmann::json end = nlohmann::json::object();
};

// `what` is "sites", "sessions" or any other, of which one worker alone was asked. No more than
// `limit` items; `end` holds "next" or "omitted" where there are more.
ReportPart merge_report(std::string_view what, std::vector<ReportPart> parts, size_t limit);

// One item for each site directory: of its ports and sockets each once, what waits and what is
// queued added up. In the order of the directories, up to the last one that every worker has come
// to, which is "next" if anybody has more.
ReportPart merge_sites(std::vector<ReportPart> parts, size_t limit);

// The oldest first.
ReportPart merge_sessions(std::vector<ReportPart> parts, size_t limit);

// The field if it is there and of that type.
std::string text_field(const nlohmann::json& object, const char* key);
uint64_t count_field(const nlohmann::json& object, const char* key);

}  // namespace proxyd
