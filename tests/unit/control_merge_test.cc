// SPDX-License-Identifier: MIT
#include "proxyd/control_merge.h"

#include "tests/unit/catch.h"

using namespace proxyd;
using Json = nlohmann::json;

namespace {

ReportPart part(std::vector<const char*> items, const char* end = "{}") {
    ReportPart made;
    for (const char* item : items)
        made.items.push_back(Json::parse(item));
    made.end = Json::parse(end);
    return made;
}

std::vector<std::string> sites_of(const ReportPart& merged) {
    std::vector<std::string> names;
    for (const Json& item : merged.items)
        names.push_back(item["site"]);
    return names;
}

}  // namespace

TEST_CASE("a site is shown once, with what waits at all workers", "[control_merge]") {
    const ReportPart merged = merge_sites(
        {part({R"({"site":"/a","ports":[{"port":443,"waiting":2,"waiting_ms":70,"last_taker":"",
                 "sockets":[{"file":"443.sock","state":"live","queued":1}]}]})"}),
         part({R"({"site":"/a","directory":{"state":"there"},"ports":[
                 {"port":80,"waiting":0,"waiting_ms":0,"last_taker":"","sockets":[]},
                 {"port":443,"waiting":3,"waiting_ms":50,"last_taker":"443.sock",
                 "sockets":[{"file":"443.sock","state":"live","queued":4,"mode":"0660"}]}]})"},
              R"({"looked":1})")},
        10);

    REQUIRE(merged.items.size() == 1);
    const Json expected = Json::parse(
        R"({"site":"/a","ports":[
            {"port":80,"sockets":[],"waiting":0,"waiting_ms":0,"last_taker":""},
            {"port":443,"sockets":[{"file":"443.sock","state":"live","queued":5,"mode":"0660"}],
             "waiting":5,"waiting_ms":70,"last_taker":"443.sock"}],"directory":{"state":"there"}})");
    // Without regard to the order of keys.
    CHECK(nlohmann::json(merged.items[0]) == nlohmann::json(expected));
    CHECK(merged.end == Json::object());
}

TEST_CASE("a page of sites goes as far as every worker has come", "[control_merge]") {
    const ReportPart merged =
        merge_sites({part({R"({"site":"/a"})", R"({"site":"/b"})"}, R"({"next":"/b"})"),
                     part({R"({"site":"/b"})", R"({"site":"/c"})"}, R"({"next":"/c"})"),
                     part({R"({"site":"/z"})"})},
                    10);
    CHECK(sites_of(merged) == std::vector<std::string>{"/a", "/b"});
    CHECK(merged.end == Json{{"next", "/b"}});
}

TEST_CASE("a page of sites has no more than the limit", "[control_merge]") {
    const auto parts = {part({R"({"site":"/b"})"}), part({R"({"site":"/a"})", R"({"site":"/c"})"})};
    CHECK(sites_of(merge_sites(parts, 3)) == std::vector<std::string>{"/a", "/b", "/c"});
    CHECK(merge_sites(parts, 3).end == Json::object());
    CHECK(sites_of(merge_sites(parts, 2)) == std::vector<std::string>{"/a", "/b"});
    CHECK(merge_sites(parts, 2).end == Json{{"next", "/b"}});
}

TEST_CASE("sessions are shown oldest first, and what is left out is counted", "[control_merge]") {
    const auto parts = {part({R"({"id":"1","age_ms":5})", R"({"id":"2","age_ms":1})"}),
                        part({R"({"id":"3","age_ms":3})"}, R"({"omitted":7})")};
    const ReportPart merged = merge_sessions(parts, 2);
    REQUIRE(merged.items.size() == 2);
    CHECK(merged.items[0]["id"] == "1");
    CHECK(merged.items[1]["id"] == "3");
    CHECK(merged.end == Json{{"omitted", 8}});
    CHECK(merge_sessions({part({R"({"id":"1","age_ms":5})"})}, 1).end == Json::object());
}

TEST_CASE("nonsense from a worker is passed over", "[control_merge]") {
    const ReportPart merged = merge_sites(
        {part(
            {R"({"site":7})", R"({})", R"({"site":"/a","ports":5})",
             R"({"site":"/b","ports":[1,{},{"port":"x","sockets":[2,{"file":[]}],"waiting":-1}]})"},
            R"({"next":4})")},
        10);
    CHECK(sites_of(merged) == std::vector<std::string>{"/a", "/b"});
    CHECK(merged.end == Json::object());
}
