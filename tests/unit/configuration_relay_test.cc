// SPDX-License-Identifier: MIT
#include "base/relay/backend_text.h"
#include "proxyd/configuration.h"
#include "proxyd/relay_plan.h"
#include "tests/unit/catch.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

using namespace proxyd;

namespace {

std::string text_with(std::string_view route, std::string_view more = "") {
    return fmt::format("{{\"listen\": [\":443\", \":80\"],\n\"routes\": {{\"a.b\": {}}}{}}}", route,
                       more);
}

Configuration parsed(std::string_view route, std::string_view more = "") {
    auto configuration = parse_configuration(text_with(route, more), "p.json");
    INFO((configuration ? "fine" : configuration.error().front()));
    REQUIRE(configuration);
    return *std::move(configuration);
}

std::string errors_of(std::string_view route, std::string_view more = "") {
    const auto configuration = parse_configuration(text_with(route, more), "p.json");
    if (configuration) return "none";
    return fmt::format("{}", fmt::join(configuration.error(), "\n"));
}

nlohmann::json plan_of(const Configuration& configuration) {
    return nlohmann::json::parse(relay_plan_of(configuration).text);
}

}  // namespace

TEST_CASE("a route may lead to a TCP server", "[configuration_relay]") {
    const Configuration configuration = parsed(R"("tcp://nas.lan:443")");
    const RouteConfiguration& route = configuration.routes[0];
    REQUIRE(route.relay != nullptr);
    CHECK(route.site_directory == "/run/proxyd/tcp/a.b");
    REQUIRE(route.relay->backends.size() == 1);
    CHECK(route.relay->backends[0].host == "nas.lan");
    CHECK(route.relay->backends[0].port == 443);
    CHECK(places_of_sites(configuration).empty());
}

TEST_CASE("a route to TCP servers has the settings of a site of tcpshim", "[configuration_relay]") {
    const Configuration configuration = parsed(
        R"({"tcp": ["10.0.0.7:443", {"address": "10.0.0.8:443", "backup": true}],
            "proxy_protocol": 2, "allow": ["192.0.2.0/24"]})",
        R"(, "tcpshim": {"directory": "/srv/tcp", "defaults": {"connect_timeout": "3s"}})");
    const RouteConfiguration& route = configuration.routes[0];
    REQUIRE(route.relay != nullptr);
    CHECK(route.site_directory == "/srv/tcp/a.b");
    CHECK(route.relay->backends[1].is_backup);
    CHECK(route.relay->proxy_protocol == shim::ProxyProtocolVersion::V2);
    CHECK(route.relay->connect_timeout == std::chrono::seconds(3));
    REQUIRE(route.options != nullptr);
    CHECK_FALSE(route.options->access.empty());
}

TEST_CASE("what is printed of a route to TCP servers is read back", "[configuration_relay]") {
    const Configuration configuration =
        parsed(R"({"tcp": ["10.0.0.7:443"], "check": "tls", "deny": ["192.0.2.1"]})",
               R"(, "tcpshim": {"drain_timeout": "5s", "control": "none"})");
    const std::string text = print_configuration(configuration);
    const auto again = parse_configuration(text, "p.json");
    INFO((again ? "fine" : again.error().front()));
    REQUIRE(again);
    CHECK(print_configuration(*again) == text);
    CHECK(again->routes[0].relay->check.kind == shim::CheckKind::Tls);
    CHECK(again->tcpshim.configuration.drain_timeout == std::chrono::seconds(5));
}

TEST_CASE("a route to TCP servers says where it is wrong", "[configuration_relay]") {
    CHECK(errors_of(R"("tcp://")").starts_with("p.json:2: routes.a.b: '' "));
    CHECK(errors_of(R"({"tcp": []})").starts_with("p.json:2: routes.a.b.tcp: is empty, "));
    CHECK(errors_of(R"({"tcp": "x:1", "site": "/s"})") ==
          "p.json:2: routes.a.b: has both 'site' and 'tcp', one of them is allowed");
    CHECK(
        errors_of(R"({"site": "tcp://x:1"})") ==
        R"(p.json:2: routes.a.b.site: is 'tcp://x:1', which is a value of 'tcp': {"tcp": "x:1"})");
    CHECK(errors_of(R"({"tcp": "x:1", "ports": [443]})") ==
          "p.json:2: routes.a.b.ports: is not for a route: clients come to the ports of 'listen'");
    CHECK(errors_of(R"({"tcp": "x:1", "balanse": "round_robin"})") ==
          "p.json:2: routes.a.b.balanse: is not a key of a route to TCP servers, did you mean "
          "'balance'?");
    CHECK(errors_of(R"({"site": "/s", "balance": "round_robin"})")
              .starts_with("p.json:2: routes.a.b.balance: is not a key of a route, "));
    CHECK(errors_of(R"({"tcp": "x:1", "tcp": "y:1"})") ==
          "p.json:2: routes.a.b.tcp: is given twice, first in line 2");
}

TEST_CASE("the settings of tcpshim as a whole say where they are wrong", "[configuration_relay]") {
    CHECK(errors_of(R"("/s")", R"(, "tcpshim": 1)") ==
          "p.json:2: tcpshim: is a number, an object is allowed");
    CHECK(errors_of(R"("/s")", R"(, "tcpshim": {"directory": "tcp"})") ==
          "p.json:2: tcpshim.directory: 'tcp' is no absolute path, the absolute path of a "
          "directory is allowed");
    CHECK(errors_of(R"("/s")", R"(, "tcpshim": {"sites": {}})")
              .starts_with("p.json:2: tcpshim.sites: is not a key of tcpshim, "));
    CHECK(errors_of(R"("/s")", R"(, "tcpshim": {"drain_timeout": 1})")
              .starts_with("p.json:2: tcpshim.drain_timeout: is a number, "));
    CHECK(errors_of(R"("/s")", R"(, "tcpshim": {"defaults": {"check": "x"}})")
              .starts_with("p.json:2: tcpshim.defaults.check: is 'x', "));
}

TEST_CASE("tcpshim gets a site for each route to TCP servers", "[configuration_relay]") {
    const Configuration configuration =
        parsed(R"("tcp://nas.lan", "@ssh": "/s", "*.c.d": {"tcp": "unix:/run/x.sock"})");
    const RelayPlan plan = relay_plan_of(configuration);
    CHECK(plan.directory == "/run/proxyd/tcp");
    CHECK(plan.site_directories ==
          std::vector<std::string>{"/run/proxyd/tcp/a.b", "/run/proxyd/tcp/*.c.d"});
    const nlohmann::json told = plan_of(configuration);
    CHECK(told["sites"].size() == 2);
    CHECK(told["sites"]["/run/proxyd/tcp/a.b"]["ports"] == nlohmann::json({443, 80}));
    CHECK(shim::parse_configuration(plan.text, "t.json").has_value());
    CHECK(relay_plan_of(parsed(R"("/s")")).is_empty());
}

TEST_CASE("a listener may lead to TCP servers by itself", "[configuration_relay]") {
    const auto configuration = parse_configuration(
        R"({"listen": [":443", {"address": ":22", "site": "tcp://10.0.0.7:22"},
                       {"address": "192.0.2.1:25", "allow": ["192.0.2.0/24"],
                        "site": {"tcp": ["a.b:25", "c.d"], "proxy_protocol": 2}}],
            "routes": {"a.b": "/s"},
            "tcpshim": {"directory": "/srv/tcp", "defaults": {"connect_timeout": "3s"}}})",
        "p.json");
    REQUIRE(configuration);
    const ListenerConfiguration& ssh = configuration->listeners[1];
    const ListenerConfiguration& mail = configuration->listeners[2];
    REQUIRE((ssh.relay != nullptr && mail.relay != nullptr));
    CHECK(configuration->listeners[0].relay == nullptr);
    CHECK(ssh.site == "/srv/tcp/:22");
    CHECK(mail.site == "/srv/tcp/192.0.2.1:25");
    CHECK(ssh.relay->connect_timeout == std::chrono::seconds(3));
    CHECK(mail.relay->backends.size() == 2);
    CHECK(mail.relay->proxy_protocol == shim::ProxyProtocolVersion::V2);
    CHECK(mail.proxy_protocol.is_off());
    const nlohmann::json told = plan_of(*configuration);
    CHECK(told["sites"].size() == 2);
    CHECK(told["sites"]["/srv/tcp/:22"]["ports"] == nlohmann::json({22}));
    CHECK(told["sites"]["/srv/tcp/192.0.2.1:25"]["ports"] == nlohmann::json({25}));

    const std::string text = print_configuration(*configuration);
    const auto again = parse_configuration(text, "p.json");
    REQUIRE(again);
    CHECK(print_configuration(*again) == text);
    CHECK(plan_of(*again)["sites"] == told["sites"]);
}

TEST_CASE("a listener that leads to TCP servers says where it is wrong", "[configuration_relay]") {
    const auto error_of = [](std::string_view site, std::string_view address = ":22") {
        const auto configuration =
            parse_configuration(fmt::format(R"({{"listen": [{{"address": "{}",)"
                                            "\n"
                                            R"("site": {}}}]}})",
                                            address, site),
                                "p.json");
        return configuration ? "none" : fmt::format("{}", fmt::join(configuration.error(), "\n"));
    };
    CHECK(error_of(R"("tcp://a.b")") == "none");
    CHECK(error_of(R"("a.b:22")") ==
          "p.json:2: listen[0].site: 'a.b:22' is no absolute path, the absolute path of a "
          "directory, or \"tcp://HOST:PORT\" for a TCP server, is allowed");
    CHECK(error_of("1") ==
          "p.json:2: listen[0].site: is a number, the absolute path of a directory, "
          "\"tcp://HOST:PORT\", or an object with 'tcp' is allowed");
    CHECK(error_of(R"({"tcp": "a.b", "ports": 22})") ==
          "p.json:2: listen[0].site.ports: is not for a listener: clients come to its own port");
    CHECK(error_of(R"({"tcp": "a.b", "allow": []})")
              .starts_with("p.json:2: listen[0].site.allow: is not a key of a listener's TCP "
                           "servers, "));
    CHECK(error_of(R"({"balance": "round_robin"})")
              .starts_with("p.json:2: listen[0].site.tcp: is missing, "));
    CHECK(error_of(R"("tcp://a.b:22")", "127.0.0.1:0") ==
          "p.json:1: listen[0].site: is relayed, and its site socket is called like the port: the "
          "address needs one other than 0");
}

TEST_CASE("where no listener leads to it, a route to TCP servers needs none",
          "[configuration_relay]") {
    const auto configuration = parse_configuration(
        R"({"listen": [{"address": ":25", "site": "/s"}], "routes": {"a.b": "tcp://c.d"}})",
        "p.json");
    REQUIRE(configuration);
    CHECK(relay_plan_of(*configuration).is_empty());
}

TEST_CASE("what looks like a TCP server without its prefix is told so", "[configuration_relay]") {
    for (const std::string_view text : {"nas.lan:443", "https://nas", "TCP://nas:443"})
        CHECK(errors_of(fmt::format("\"{}\"", text)) ==
              fmt::format("p.json:2: routes.a.b: '{}' is no absolute path, the absolute path of a "
                          "directory, or \"tcp://HOST:PORT\" for a TCP server, is allowed",
                          text));
    CHECK(errors_of(R"({"tcp": "tcp://nas:443"})")
              .starts_with("p.json:2: routes.a.b.tcp: 'tcp://nas:443' begins with 'tcp://', which "
                           "is for routes: without it, "));
    CHECK(errors_of(R"({"tcp": ["a", {"adress": "b"}]})") ==
          fmt::format("p.json:2: routes.a.b.tcp[1].adress: is not a key of a backend, did you mean "
                      "'address'?\np.json:2: routes.a.b.tcp[1].address: is missing, {} is needed",
                      shim::BackendForms));
}
