// SPDX-License-Identifier: MIT
#include "proxyd/worker_reports.h"

#include "base/handoff/site_socket.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/catch.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include <filesystem>

using namespace proxyd;
using Json = nlohmann::json;

namespace {

// A worker without clients.
class Fixture final : public WorkerReports::Sink {
  public:
    Fixture() {
        std::filesystem::create_directories(sites_path / "a.example");
        std::filesystem::create_directories(sites_path / "b.example");
        std::filesystem::create_directories(directory.path() / "blog");
        configuration.sites = sites_path;
        configuration.routes = {{"blog.example.org", (directory.path() / "blog").string(), 3},
                                {"*", (directory.path() / "absent").string(), 4}};
        REQUIRE(sites_directory.open());
    }

    std::vector<Json> ask(const char* request) {
        messages.clear();
        WorkerReports({configuration, &sites_directory, sites, sessions,
                       [](const ExplainRequest&) { return Explanation{}; }},
                      *this)
            .report(Json::parse(request));
        return messages;
    }
    // What is in the items under that key.
    std::vector<std::string> texts(const char* request, const char* key) {
        std::vector<std::string> found;
        for (const Json& message : ask(request))
            if (message.contains("item")) found.push_back(message["item"][key]);
        return found;
    }
    UniqueFd bind_socket(const char* file_name, mode_t mode) {
        UniqueFd receiver = UniqueFd::adopt(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        const UniqueFd blog = test::open_path(directory.path() / "blog");
        REQUIRE(bind_site_socket(receiver, blog, "", *SiteSocketName::parse(file_name)));
        chmod((directory.path() / "blog" / file_name).c_str(), mode);
        return receiver;
    }
    void emit(const Json& message) override { messages.push_back(message); }

    test::TemporaryDirectory directory;
    std::filesystem::path sites_path = directory.path() / "sites";
    Configuration configuration;
    EventLoop loop;
    DirectoryWatch watch{loop};
    SitesDirectory sites_directory{loop, watch, sites_path};
    SiteTable sites{loop, watch, 16, [](Site&) {}};
    SessionTable sessions;
    std::vector<Json> messages;
};

}  // namespace

TEST_CASE("routes are told in the order of the file, then those of sites", "[worker_reports]") {
    Fixture fixture;
    CHECK(fixture.texts(R"({"what":"routes","id":1,"limit":10})", "route") ==
          std::vector<std::string>{"blog.example.org", "*", "sites/a.example", "sites/b.example"});
    CHECK(fixture.messages.back() == Json{{"report", 1}, {"done", true}});
}

TEST_CASE("pages of routes join without a gap", "[worker_reports]") {
    Fixture fixture;
    const auto page = [&](const char* request) {
        auto routes = fixture.texts(request, "route");
        const Json& end = fixture.messages.back();
        routes.push_back(end.contains("next") ? end["next"] : Json("end"));
        return routes;
    };
    using Texts = std::vector<std::string>;
    CHECK(page(R"({"what":"routes","limit":1})") == Texts{"blog.example.org", "1"});
    CHECK(page(R"({"what":"routes","limit":1,"page":"1"})") == Texts{"*", "sites/"});
    CHECK(page(R"({"what":"routes","limit":1,"page":"sites/"})") ==
          Texts{"sites/a.example", "sites/a.example"});
    CHECK(page(R"({"what":"routes","limit":1,"page":"sites/a.example"})") ==
          Texts{"sites/b.example", "end"});
    CHECK(page(R"({"what":"routes","limit":3})") ==
          Texts{"blog.example.org", "*", "sites/a.example", "sites/a.example"});
    CHECK(page(R"({"what":"routes","limit":9,"match":"b.example"})") ==
          Texts{"sites/b.example", "end"});
}

TEST_CASE("sites are told with what is in them now", "[worker_reports]") {
    Fixture fixture;
    const UniqueFd live = fixture.bind_socket("443.4-any-8443-0.sock", 0660);
    fixture.bind_socket("80.sock", 0666).close();

    const auto messages =
        fixture.ask(R"({"what":"sites","id":2,"limit":10,"looks":true,"match":"blog"})");
    REQUIRE(messages.size() == 2);
    Json item = messages[0]["item"];
    CHECK(item["site"] == (fixture.directory.path() / "blog").string());
    CHECK(item["directory"]["state"] == "there");
    REQUIRE(item["ports"].size() == 2);
    const Json& dead = item["ports"][0];
    CHECK(dead["port"] == 80);
    CHECK(dead["sockets"][0]["state"] == "dead");
    CHECK(dead["sockets"][0]["world_writable"] == true);
    const Json& socket = item["ports"][1]["sockets"][0];
    CHECK(socket["file"] == "443.4-any-8443-0.sock");
    CHECK(socket["state"] == "live");
    CHECK(socket["mode"] == "0660");
    CHECK(socket["server_listens_on"] ==
          Json{{"address", "0.0.0.0:8443"}, {"ipv4", true}, {"ipv6", false}});
    CHECK(messages[1] == Json{{"report", 2}, {"done", true}, {"looked", 1}});
}

TEST_CASE("a worker that doesn't look tells of the sites in use", "[worker_reports]") {
    Fixture fixture;
    CHECK(fixture.texts(R"({"what":"sites","limit":10})", "site").empty());
    const std::string directory = (fixture.directory.path() / "blog").string();
    const UniqueFd live = fixture.bind_socket("443.sock", 0660);
    fixture.sites.site_for(Route{"x", directory}, 443);
    CHECK(fixture.texts(R"({"what":"sites","limit":10})", "site") ==
          std::vector<std::string>{directory});
    CHECK(fixture.messages[0]["item"]["ports"][0]["waiting"] == 0);
}

TEST_CASE("pages of sites are in alphabetical order and join without a gap", "[worker_reports]") {
    Fixture fixture;
    const std::string root = fixture.directory.path();
    CHECK(fixture.texts(R"({"what":"sites","limit":2,"looks":true})", "site") ==
          std::vector<std::string>{root + "/absent", root + "/blog"});
    CHECK(fixture.messages.back()["next"] == root + "/blog");
    const std::string rest =
        R"({"what":"sites","limit":2,"looks":true,"page":")" + root + "/blog\"}";
    CHECK(fixture.texts(rest.c_str(), "site") ==
          std::vector<std::string>{root + "/sites/a.example", root + "/sites/b.example"});
    CHECK_FALSE(fixture.messages.back().contains("next"));
}

TEST_CASE("an explanation tells of the rejection", "[worker_reports]") {
    Fixture fixture;
    const auto messages = fixture.ask(R"({"what":"explain","name":"a","port":443})");
    REQUIRE(messages.size() == 2);
    CHECK(messages[0]["item"]["verdict"] == "rejected");
    CHECK(messages[0]["item"]["steps"] == Json::array());
}

TEST_CASE("a report that isn't there is an error", "[worker_reports]") {
    Fixture fixture;
    CHECK(fixture.ask(R"({"what":"nothing","id":3})") ==
          std::vector<Json>{
              {{"report", 3}, {"done", true}, {"error", "this worker has no such report"}}});
}
