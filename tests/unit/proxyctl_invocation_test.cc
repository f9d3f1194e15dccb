// SPDX-License-Identifier: MIT
#include "proxyctl/invocation.h"
#include "tests/unit/catch.h"

using namespace proxyd;

TEST_CASE("proxyctl_invocation: options stand before and behind the command and its words",
          "[proxyctl_invocation]") {
    const auto parsed = parse_proxyctl(
        {"--control", "/a", "--json", "explain", "--port", "80", "a.example", "--from=192.0.2.1"});
    REQUIRE(parsed.has_value());
    CHECK(parsed->subcommand->word == "explain");
    CHECK(parsed->invocation.word() == "a.example");
    CHECK(parsed->invocation.control() == "/a");
    CHECK(parsed->invocation.is_json());
    CHECK(parsed->invocation.line.last("port", "") == "80");
    CHECK(parsed->invocation.line.last("from", "") == "192.0.2.1");
}

TEST_CASE("proxyctl_invocation: what stands behind the command counts", "[proxyctl_invocation]") {
    const auto parsed = parse_proxyctl({"--control", "/a", "status", "--control", "/b"});
    REQUIRE(parsed.has_value());
    CHECK(parsed->invocation.control() == "/b");
    CHECK_FALSE(parsed->invocation.is_json());
}

TEST_CASE("proxyctl_invocation: site has commands of its own", "[proxyctl_invocation]") {
    const auto parsed = parse_proxyctl({"site", "add", "--owner", "u", "*.example.org"});
    REQUIRE(parsed.has_value());
    CHECK(parsed->subcommand->word == "site add");
    CHECK(parsed->invocation.word() == "*.example.org");
}

TEST_CASE("proxyctl_invocation: errors", "[proxyctl_invocation]") {
    const std::string known =
        "; there are status, sites, sessions, routes, backends, explain, events, reload, upgrade, "
        "log-level, "
        "metrics, site add, site list";
    CHECK(parse_proxyctl({}).error() == "a command is missing, see proxyctl --help");
    CHECK(parse_proxyctl({"stat"}).error() == "'stat' is not a command" + known);
    CHECK(parse_proxyctl({"site"}).error() == "'site' is not a command" + known);
    CHECK(parse_proxyctl({"site", "remove"}).error() == "'site remove' is not a command" + known);
    CHECK(parse_proxyctl({"--port", "1", "explain"}).error() ==
          "unknown option '--port', see proxyctl --help");
    CHECK(parse_proxyctl({"status", "--limit", "1"}).error() ==
          "unknown option '--limit', see proxyctl status --help");
    CHECK(parse_proxyctl({"status", "x"}).error() == "'x' is too much, see proxyctl status --help");
    CHECK(parse_proxyctl({"explain", "a", "b"}).error() ==
          "'b' is too much, see proxyctl explain --help");
    CHECK(parse_proxyctl({"site", "add"}).error() ==
          "NAME is missing, see proxyctl site add --help");
}

TEST_CASE("proxyctl_invocation: every command has a help, and none is missing in the overview",
          "[proxyctl_invocation]") {
    for (const Subcommand& each : subcommands()) {
        CHECK(overview().find("  " + std::string(each.word) + " ") != std::string::npos);
        CHECK(each.command.name == "proxyctl " + std::string(each.word));
        CHECK_FALSE(each.command.options.empty());
    }
}
