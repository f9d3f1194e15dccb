// SPDX-License-Identifier: MIT
#include "proxyd/configuration.h"
#include "tests/unit/catch.h"

using proxyd::Configuration;
using proxyd::parse_configuration;
using proxyd::print_configuration;
using proxyd::SocketAddress;

namespace {

Configuration read(std::string_view text) {
    const auto configuration = parse_configuration(text, "p.json");
    REQUIRE(configuration.has_value());
    return *configuration;
}

// What is wrong with a value in line 2, whatever is left and right of it.
std::string error_of(std::string_view before, std::string_view value, std::string_view after) {
    const std::string text = std::string(before) + "\n" + std::string(value) + std::string(after);
    const auto configuration = parse_configuration(text, "p.json");
    if (configuration) return "none";
    REQUIRE(configuration.error().size() == 1);
    return configuration.error()[0];
}

std::string route_error_of(std::string_view value) {
    return error_of(R"({"listen": [":1"], "routes": {"a":)", value, "}}");
}

std::string listener_error_of(std::string_view member) {
    return error_of(R"({"routes": {"*": "/s"}, "listen": [{"address": ":1",)", member, "}]}");
}

constexpr std::string_view Everything = R"({
    "listen": [":443", {"address": ":80", "allow": ["192.0.2.0/24"], "deny": ["192.0.2.7"]}],
    "routes": {
        "a.example.org": "/a",
        "b.example.org": {"site": "/b/", "deny": ["2001:db8::/32"], "alpn": {"acme-tls/1": "/acme"}},
        "c.example.org": {"site": "/c"}
    },
    "alpn": {"acme-tls/1": "/all"},
    "source_sessions_max": 0,
    "source_connections_per_second_max": 20
})";

}  // namespace

TEST_CASE("a route may be an object with lists and application protocols",
          "[configuration_access]") {
    const Configuration configuration = read(Everything);

    REQUIRE(configuration.routes.size() == 3);
    CHECK(configuration.routes[0].options == nullptr);
    const auto& route = configuration.routes[1];
    CHECK(route.site_directory == "/b");
    REQUIRE(route.options != nullptr);
    CHECK(route.options->access.deny.contains(*SocketAddress::parse_host("2001:db8::1", 1)));
    CHECK(route.options->access.allow.empty());
    REQUIRE(route.options->alpn.size() == 1);
    CHECK(route.options->alpn[0].protocol == "acme-tls/1");
    CHECK(route.options->alpn[0].site_directory == "/acme");
    CHECK(configuration.routes[2].options == nullptr);
    REQUIRE(configuration.alpn.size() == 1);
    CHECK(configuration.alpn[0].site_directory == "/all");
}

TEST_CASE("a listener has lists, and sources have limits", "[configuration_access]") {
    const Configuration configuration = read(Everything);

    CHECK(configuration.listeners[0].access.empty());
    CHECK(configuration.listeners[1].access.allow.texts() ==
          std::vector<std::string>{"192.0.2.0/24"});
    CHECK(configuration.listeners[1].access.deny.texts() == std::vector<std::string>{"192.0.2.7"});
    CHECK(configuration.source_sessions_max == 0);
    CHECK(configuration.source_connections_per_second_max == 20);
    CHECK(read(R"({"listen": [":1"], "routes": {"*": "/s"}})").source_sessions_max == 1000);
}

TEST_CASE("what is printed is read back to the same", "[configuration_access]") {
    const std::string printed = print_configuration(read(Everything));

    CHECK(print_configuration(read(printed)) == printed);
    CHECK(printed.find(R"("c.example.org": "/c")") != printed.npos);
}

TEST_CASE("an alpn for all names is somewhere to go", "[configuration_access]") {
    CHECK(read(R"({"listen": [":1"], "alpn": {"acme-tls/1": "/all"}})").routes.empty());
}

TEST_CASE("what is wrong with a route that is an object", "[configuration_access]") {
    constexpr auto Lists =
        "an array of addresses and prefixes such as [\"192.0.2.0/24\", "
        "\"2001:db8::/32\"] is allowed";
    CHECK(route_error_of("{}") ==
          "p.json:2: routes.a.site: is missing, the absolute path of a directory is needed, or "
          "'tcp'");
    CHECK(route_error_of(R"({"site": "s"})") ==
          "p.json:2: routes.a.site: 's' is no absolute path, the absolute path of a directory is "
          "allowed");
    CHECK(route_error_of(R"({"site": "/s", "alow": []})") ==
          "p.json:2: routes.a.alow: is not a key of a route, did you mean 'allow'?");
    CHECK(route_error_of(R"({"site": "/s", "site": "/t"})") ==
          "p.json:2: routes.a.site: is given twice, first in line 2");
    CHECK(route_error_of(R"({"site": "/s", "allow": []})") ==
          std::string("p.json:2: routes.a.allow: is empty, ") + Lists);
    CHECK(route_error_of(R"({"site": "/s", "deny": "192.0.2.1"})") ==
          std::string("p.json:2: routes.a.deny: is a string, ") + Lists);
    CHECK(route_error_of(R"({"site": "/s", "deny": ["192.0.2.1", 7]})") ==
          "p.json:2: routes.a.deny[1]: is a number, an address or a prefix such as "
          "\"192.0.2.0/24\" is allowed");
    CHECK(route_error_of(R"({"site": "/s", "deny": ["192.0.2.1/24"]})") ==
          "p.json:2: routes.a.deny[0]: '192.0.2.1/24' has bits set behind the prefix, did you mean "
          "'192.0.2.0/24' or '192.0.2.1/32'?");
}

TEST_CASE("what is wrong with application protocols", "[configuration_access]") {
    constexpr auto Objects =
        "an object from application protocols such as \"acme-tls/1\" to site "
        "directories is allowed";
    CHECK(route_error_of(R"({"site": "/s", "alpn": {}})") ==
          std::string("p.json:2: routes.a.alpn: is empty, ") + Objects);
    CHECK(route_error_of(R"({"site": "/s", "alpn": ["h2"]})") ==
          std::string("p.json:2: routes.a.alpn: is an array, ") + Objects);
    CHECK(route_error_of(R"({"site": "/s", "alpn": {"": "/t"}})") ==
          "p.json:2: routes.a.alpn.\"\": has 0 bytes, an application protocol has 1 to 255");
    CHECK(route_error_of("{\"site\": \"/s\", \"alpn\": {\"" + std::string(255, 'x') +
                         "\": \"/t\"}}") == "none");
    CHECK(route_error_of(R"({"site": "/s", "alpn": {"h2": "t"}})") ==
          "p.json:2: routes.a.alpn.h2: 't' is no absolute path, the absolute path of a directory "
          "is allowed");
    CHECK(route_error_of(R"({"site": "/s", "alpn": {"h2": "/t", "h2": "/u"}})") ==
          "p.json:2: routes.a.alpn.h2: is given twice, first in line 2");
    CHECK(error_of(R"({"listen": [":1"], "alpn":)", "7", "}") ==
          std::string("p.json:2: alpn: is a number, ") + Objects);
}

TEST_CASE("what is wrong with the lists of a listener", "[configuration_access]") {
    CHECK(listener_error_of(R"("allow": ["x"])") ==
          "p.json:2: listen[0].allow[0]: 'x' is no address, an address or a prefix such as "
          "\"192.0.2.0/24\" or \"2001:db8::/32\" is allowed");
    CHECK(listener_error_of(R"("deni": ["::1"])") ==
          "p.json:2: listen[0].deni: is not a key of a listener, did you mean 'deny'?");
}

TEST_CASE("what is wrong with limits of sources", "[configuration_access]") {
    CHECK(error_of(R"({"listen": [":1"], "routes": {"*": "/s"},)", R"("source_sessions_max": -1)",
                   "}") ==
          "p.json:2: source_sessions_max: is -1, a whole number from 0 to 1000000 is allowed");
    CHECK(error_of(R"({"listen": [":1"], "routes": {"*": "/s"},)",
                   R"("source_connections_per_second_max": 1000001)", "}") ==
          "p.json:2: source_connections_per_second_max: is 1000001, a whole number from 0 to "
          "1000000 is allowed");
}

TEST_CASE("who sends PROXY protocol headers to a listener", "[configuration_access]") {
    const auto configuration = parse_configuration(
        R"({"listen": [{"address": "192.0.2.1:1", "proxy_protocol": true},
                       {"address": "192.0.2.1:2", "proxy_protocol": ["192.0.2.0/24", "::1"]},
                       {"address": "192.0.2.1:3", "proxy_protocol": false}, "192.0.2.1:4"],
            "routes": {"*": "/s"}})",
        "p.json");

    REQUIRE(configuration.has_value());
    const auto policy = [&](size_t i) { return configuration->listeners[i].proxy_protocol; };
    CHECK(policy(0).is_from_all);
    CHECK_FALSE(policy(1).is_from_all);
    CHECK(policy(1).sources.texts() == std::vector<std::string>{"192.0.2.0/24", "::1"});
    CHECK(policy(2).is_off());
    CHECK(policy(3).is_off());
    const auto again = parse_configuration(print_configuration(*configuration), "p.json");
    REQUIRE(again.has_value());
    CHECK(again->listeners[0].proxy_protocol.is_from_all);
    CHECK(again->listeners[1].proxy_protocol.sources.texts() == policy(1).sources.texts());
}

TEST_CASE("what is wrong with the senders of PROXY protocol headers", "[configuration_access]") {
    constexpr auto Allowed =
        "true (everybody sends a header) or a list of the sources that do, such as "
        "[\"192.0.2.0/24\"], is allowed";
    CHECK(listener_error_of(R"("proxy_protocol": [])") ==
          std::string("p.json:2: listen[0].proxy_protocol: is empty, ") + Allowed);
    CHECK(listener_error_of(R"("proxy_protocol": "v2")") ==
          std::string("p.json:2: listen[0].proxy_protocol: is a string, ") + Allowed);
    CHECK(listener_error_of(R"("proxy_protocol": [1])") ==
          "p.json:2: listen[0].proxy_protocol[0]: is a number, an address or a prefix such as "
          "\"192.0.2.0/24\" is allowed");
    CHECK(listener_error_of(R"("proxy_protocol": ["192.0.2.1/24"])")
              .starts_with("p.json:2: listen[0].proxy_protocol[0]: '192.0.2.1/24' has bits set"));
}

TEST_CASE("how long a client may say nothing before it is silent", "[configuration_access]") {
    const auto configuration = parse_configuration(
        R"({"listen": [":1"], "routes": {"@silent": "/s"}, "silent_after": "500ms"})", "p.json");

    REQUIRE(configuration.has_value());
    CHECK(configuration->silent_after == std::chrono::milliseconds(500));
    CHECK(parse_configuration(print_configuration(*configuration), "p.json")->silent_after ==
          configuration->silent_after);
    CHECK(error_of(R"({"listen": [":1"], "routes": {"*": "/s"},)", R"("silent_after": "0ms")", "}")
              .starts_with("p.json:2: silent_after: is '0ms', a duration from \"1ms\""));
}
