// SPDX-License-Identifier: MIT
#include "proxyd/route_table.h"

#include "tests/support/temporary_directory.h"
#include "tests/unit/catch.h"

#include <sys/stat.h>

#include <filesystem>

using proxyd::DirectoryWatch;
using proxyd::EventLoop;
using proxyd::Protocol;
using proxyd::RouteConfiguration;
using proxyd::RouteRule;
using proxyd::RouteTable;
using proxyd::SitesDirectory;

namespace {

const std::vector<RouteConfiguration> Routes = {
    {"a.example.org", "/exact", 1},
    {"*.example.org", "/wild", 2},
    {"*.deep.example.org", "/deep", 3},
    {"@tls", "/tls", 4},
    {"*", "/default", 5},
};

std::string directory_for(const RouteTable& table, std::string_view name,
                          Protocol protocol = Protocol::Http) {
    const auto match = table.find(name, protocol);
    return std::string(match.route != nullptr ? match.route->site_directory : "none");
}

}  // namespace

TEST_CASE("routes: the exact name, then the longest wildcard, then the class, then the default",
          "[route_table]") {
    const RouteTable table(Routes, nullptr);

    CHECK(directory_for(table, "a.example.org") == "/exact");
    CHECK(directory_for(table, "b.example.org") == "/wild");
    CHECK(directory_for(table, "x.y.example.org") == "/wild");
    CHECK(directory_for(table, "x.deep.example.org") == "/deep");
    CHECK(directory_for(table, "x.y.deep.example.org") == "/deep");
    CHECK(directory_for(table, "deep.example.org") == "/wild");
    CHECK(directory_for(table, "example.org") == "/default");
    CHECK(directory_for(table, "notexample.org", Protocol::Tls) == "/tls");
    CHECK(directory_for(table, "", Protocol::Tls) == "/tls");
    CHECK(directory_for(table, "") == "/default");
}

TEST_CASE("routes: the rule that matched is told", "[route_table]") {
    const RouteTable table(Routes, nullptr);

    CHECK(table.find("a.example.org", Protocol::Tls).rule == RouteRule::ExactName);
    CHECK(table.find("b.example.org", Protocol::Tls).rule == RouteRule::WildcardName);
    CHECK(table.find("b.example.com", Protocol::Tls).rule == RouteRule::ProtocolClass);
    CHECK(table.find("b.example.com", Protocol::Http).rule == RouteRule::Default);
}

TEST_CASE("routes: without a default an unknown name has none", "[route_table]") {
    const RouteTable table({{"a", "/a", 1}}, nullptr);

    CHECK(directory_for(table, "b") == "none");
    CHECK(directory_for(table, "") == "none");
    CHECK(directory_for(table, "b.a") == "none");
}

TEST_CASE("routes: a name that looks like a class or a default is only a name", "[route_table]") {
    const RouteTable table({{"*", "/default", 1}, {"@http", "/http", 2}}, nullptr);

    CHECK(table.find("http", Protocol::Tls).rule == RouteRule::Default);
}

TEST_CASE("routes: directories in sites come after the configuration's names", "[route_table]") {
    const proxyd::test::TemporaryDirectory temporary;
    const std::filesystem::path sites = temporary.path();
    for (const char* name :
         {"a.example.org", "s.example.net", "*.example.net", "Upper.example.net"})
        std::filesystem::create_directory(sites / name);
    std::filesystem::create_directory_symlink("/", sites / "link.example.com");
    EventLoop loop;
    DirectoryWatch watch(loop);
    SitesDirectory directory(loop, watch, sites);
    REQUIRE(directory.open().has_value());
    const RouteTable table(Routes, &directory);

    CHECK(directory_for(table, "a.example.org") == "/exact");
    CHECK(directory_for(table, "s.example.net") == sites.string() + "/s.example.net");
    CHECK(directory_for(table, "t.example.net") == sites.string() + "/*.example.net");
    CHECK(directory_for(table, "upper.example.net") == sites.string() + "/*.example.net");
    CHECK(directory_for(table, "link.example.com") == "/default");
    CHECK_FALSE(table.find("s.example.net", Protocol::Tls).route->follows_links);
    CHECK(table.find("s.example.net", Protocol::Tls).route->key == "sites/s.example.net");
}
