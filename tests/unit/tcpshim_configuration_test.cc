// SPDX-License-Identifier: MIT
#include "base/relay/configuration_file.h"
#include "tests/unit/catch.h"

using namespace std::chrono_literals;
using proxyd::ConfigurationErrors;
using proxyd::shim::BackendKind;
using proxyd::shim::Balance;
using proxyd::shim::CheckKind;
using proxyd::shim::parse_configuration;
using proxyd::shim::print_configuration;
using proxyd::shim::ProxyProtocolVersion;

namespace {

constexpr std::string_view Backends =
    "\"nas.lan:443\", \"192.0.2.1:443\", \"[2001:db8::1]:443\", \"nas.lan\" (the client's port), "
    "\"srv:_https._tcp.nas.lan\" or \"unix:/run/app.sock\"";

ConfigurationErrors errors_of(std::string_view text) {
    const auto configuration = parse_configuration(text, "t.json");
    return configuration ? ConfigurationErrors{} : configuration.error();
}

// The one error of a site that is right but for `member`, which is line 2.
std::string site_error_of(std::string_view member) {
    const auto errors =
        errors_of("{\"sites\": {\"/s/a\": {\"to\": \"b:1\",\n" + std::string(member) + "}}}");
    REQUIRE(errors.size() == 1);
    return errors[0];
}

std::string backend_error_of(std::string_view text) {
    const auto errors = errors_of("{\"sites\": {\"/s/a\": \"" + std::string(text) + "\"}}");
    REQUIRE(errors.size() == 1);
    return errors[0];
}

std::string error_of(std::string_view member) {
    const auto errors = errors_of("{\"sites\": {\"/s/a\": \"b:1\"},\n" + std::string(member) + "}");
    REQUIRE(errors.size() == 1);
    return errors[0];
}

}  // namespace

TEST_CASE("tcpshim's configuration: the smallest one has every default",
          "[tcpshim_configuration]") {
    const auto read = parse_configuration("{\"sites\": {\"/s/nas/\": \"nas.lan:8443\"}}", "t.json");

    REQUIRE(read.has_value());
    REQUIRE(read->sites.size() == 1);
    CHECK(read->sites[0].directory == "/s/nas");
    CHECK(read->sites[0].name == "nas");
    CHECK(read->sites[0].place == "t.json:1: sites./s/nas/");
    CHECK(read->sites[0].ports == std::vector<uint16_t>{443});
    REQUIRE(read->sites[0].backends.size() == 1);
    CHECK(read->sites[0].backends[0].text == "nas.lan:8443");
    CHECK(read->sites[0].backends[0].host == "nas.lan");
    CHECK(read->sites[0].backends[0].port == 8443);
    CHECK(read->sites[0].backends[0].weight == 1);
    CHECK(read->sites[0].check.kind == CheckKind::None);
    CHECK(read->drain_timeout == 60s);
    CHECK(read->daemon.control == "/run/proxyd/tcpshim.sock");
    CHECK(read->daemon.access_log == "stderr");
}

TEST_CASE("tcpshim's configuration: every key of a site is read", "[tcpshim_configuration]") {
    const auto read = parse_configuration(R"({"sites": {"nas.example.org": {
        "ports": [443, 80],
        "to": ["[2001:db8::1]", {"address": "srv:_https._tcp.nas.lan", "weight": 2,
               "backup": true, "connections_max": 100}, "unix:/run/app.sock"],
        "balance": "source_hash", "proxy_protocol": 1,
        "connect_timeout": "1s", "backend_wait": "2s", "idle_timeout": "0s",
        "half_closed_timeout": "3s", "keepalive_after": "4s", "user_timeout": "5s",
        "connections_max": 6, "failures_max": 7, "failure_pause": "8s", "failure_pause_max": "9s",
        "check": {"kind": "http", "interval": "10s", "timeout": "11s", "rise": 12, "fall": 13,
                  "name": "nas", "path": "/health", "status": [200, 204]}}}})",
                                          "t.json");

    REQUIRE(read.has_value());
    const auto& site = read->sites.at(0);
    CHECK(site.directory == "/run/proxyd/sites/nas.example.org");
    CHECK(site.ports == std::vector<uint16_t>{443, 80});
    REQUIRE(site.backends.size() == 3);
    CHECK(site.backends[0].host == "2001:db8::1");
    CHECK(site.backends[0].port == 0);
    CHECK(site.backends[1].kind == BackendKind::Service);
    CHECK(site.backends[1].host == "_https._tcp.nas.lan");
    CHECK(site.backends[1].weight == 2);
    CHECK(site.backends[1].is_backup);
    CHECK(site.backends[1].connections_max == 100);
    CHECK(site.backends[2].kind == BackendKind::UnixStream);
    CHECK(site.backends[2].host == "/run/app.sock");
    CHECK(site.balance == Balance::SourceHash);
    CHECK(site.proxy_protocol == ProxyProtocolVersion::V1);
    CHECK(site.connect_timeout == 1s);
    CHECK(site.backend_wait == 2s);
    CHECK(site.idle_timeout == 0s);
    CHECK(site.half_closed_timeout == 3s);
    CHECK(site.keepalive_after == 4s);
    CHECK(site.user_timeout == 5s);
    CHECK(site.connections_max == 6);
    CHECK(site.failures_max == 7);
    CHECK(site.failure_pause == 8s);
    CHECK(site.failure_pause_max == 9s);
    CHECK(site.check.kind == CheckKind::Http);
    CHECK(site.check.interval == 10s);
    CHECK(site.check.timeout == 11s);
    CHECK(site.check.rise == 12);
    CHECK(site.check.fall == 13);
    CHECK(site.check.name == "nas");
    CHECK(site.check.path == "/health");
    CHECK(site.check.status_least == 200);
    CHECK(site.check.status_most == 204);
}

TEST_CASE("tcpshim's configuration: what is printed is read back", "[tcpshim_configuration]") {
    const auto read = parse_configuration(R"({"sites": {
        "/s/a": {"to": [{"address": "a:1", "weight": 3}, "unix:/x"], "proxy_protocol": 2},
        "/s/b": {"to": "b", "transparent": true, "check": "tls", "ports": 25}},
        "resolvers": ["192.0.2.53", "[2001:db8::53]:5353"], "metrics": "127.0.0.1:9101",
        "user": "somebody", "control": "none", "log_level": "debug", "connections_max": 9})",
                                          "t.json");
    REQUIRE(read.has_value());
    const std::string printed = print_configuration(*read);

    const auto again = parse_configuration(printed, "again.json");

    REQUIRE(again.has_value());
    CHECK(print_configuration(*again) == printed);
    CHECK(again->sites[1].is_transparent);
    CHECK(again->sites[1].ports == std::vector<uint16_t>{25});
    CHECK(again->sites[1].check.kind == CheckKind::Tls);
    CHECK(again->sites[0].backends[0].weight == 3);
    CHECK(again->resolvers.size() == 2);
}

TEST_CASE("tcpshim's configuration: defaults hold for all sites, wherever they stand",
          "[tcpshim_configuration]") {
    const auto read = parse_configuration(R"({"sites": {"/s/a": "a:1", "/s/b": {"to": "b:1",
        "ports": [80], "check": {"rise": 9}}},
        "defaults": {"ports": [25], "proxy_protocol": 2, "check": "connect"}})",
                                          "t.json");

    REQUIRE(read.has_value());
    CHECK(read->sites[0].ports == std::vector<uint16_t>{25});
    CHECK(read->sites[1].ports == std::vector<uint16_t>{80});
    CHECK(read->sites[1].proxy_protocol == ProxyProtocolVersion::V2);
    CHECK(read->sites[1].check.kind == CheckKind::Connect);
    CHECK(read->sites[1].check.rise == 9);
}

TEST_CASE(
    "tcpshim's configuration: sites whose directories end alike have their whole paths for "
    "names",
    "[tcpshim_configuration]") {
    const auto read = parse_configuration(
        R"({"sites": {"/s/a": "a:1", "/t/a": "b:1", "/t/b": "c:1"}})", "t.json");

    REQUIRE(read.has_value());
    CHECK(read->sites[0].name == "/s/a");
    CHECK(read->sites[1].name == "/t/a");
    CHECK(read->sites[2].name == "b");
}

TEST_CASE("tcpshim's configuration: a backend that is none is refused", "[tcpshim_configuration]") {
    const auto expected = [](std::string_view what) {
        return "t.json:1: sites./s/a: " + std::string(what) + ", " + std::string(Backends) +
               " is allowed";
    };
    CHECK(backend_error_of("") == expected("'' is empty"));
    CHECK(backend_error_of(":443") == expected("':443' has no host before its port"));
    CHECK(backend_error_of("a:0") == expected("'a:0' has no port from 1 to 65535 behind the ':'"));
    CHECK(backend_error_of("a:65536") ==
          expected("'a:65536' has no port from 1 to 65535 behind the ':'"));
    CHECK(backend_error_of("a b:1") == expected("'a b:1' has no name or address before its port"));
    CHECK(backend_error_of("2001:db8::1") ==
          expected("'2001:db8::1' has more than one ':': an IPv6 address stands in '[' and ']'"));
    CHECK(backend_error_of("[::1") == expected("'[::1' has a '[' without a ']'"));
    CHECK(backend_error_of("[192.0.2.1]:1") ==
          expected("'[192.0.2.1]:1' has no IPv6 address between '[' and ']'"));
    CHECK(backend_error_of("[::1]1") ==
          expected("'[::1]1' has no port from 1 to 65535 behind the ']'"));
    CHECK(backend_error_of("srv:nas.lan") ==
          expected("'srv:nas.lan' is no service of the form _SERVICE._PROTOCOL.NAME"));
    CHECK(backend_error_of("unix:app.sock") == expected("'unix:app.sock' has no absolute path"));
    CHECK(backend_error_of("unix:/" + std::string(107, 'x')) ==
          expected("'unix:/" + std::string(107, 'x') + "' has a path of more than 107 bytes"));
    CHECK(errors_of("{\"sites\": {\"/s/a\": \"unix:/" + std::string(106, 'x') + "\"}}").empty());
    CHECK(errors_of(R"({"sites": {"/s/a": "a:65535"}})").empty());
}

TEST_CASE("tcpshim's configuration: values that aren't allowed are refused in whole sentences",
          "[tcpshim_configuration]") {
    const std::string site = "t.json:2: sites./s/a.";
    CHECK(site_error_of(R"("ports": 0)") ==
          site + "ports: is 0, a port from 1 to 65535 is allowed");
    CHECK(site_error_of(R"("ports": [1, 65536])") ==
          site + "ports[1]: is 65536, a port from 1 to 65535 is allowed");
    CHECK(site_error_of(R"("ports": [1, 1])") == site + "ports[1]: is 1, which is there already");
    CHECK(site_error_of(R"("ports": [])") ==
          site + "ports: is empty, a port or an array of ports such as [443, 80] is allowed");
    CHECK(site_error_of(R"("balance": "random")") ==
          site +
              "balance: is 'random', \"round_robin\", \"least_connections\" or \"source_hash\" "
              "is allowed");
    CHECK(site_error_of(R"("proxy_protocol": 3)") ==
          site + "proxy_protocol: is 3, 1, 2 (versions) or false is allowed");
    CHECK(site_error_of(R"("proxy_protocol": true)") ==
          site + "proxy_protocol: is true, 1, 2 (versions) or false is allowed");
    CHECK(site_error_of(R"("transparent": 1)") ==
          site + "transparent: is a number, true or false is allowed");
    CHECK(site_error_of(R"("connect_timeout": "0s")") ==
          site +
              "connect_timeout: is '0s', a duration from \"1ms\" to \"1h\" such as \"250ms\", "
              "\"10s\" or \"2m\" is allowed");
    CHECK(site_error_of(R"("check": "ping")") ==
          site + "check: is 'ping', \"none\", \"connect\", \"tls\" or \"http\" is allowed");
    CHECK(site_error_of(R"("check": {"rise": 3})") ==
          site + "check.kind: is missing, \"none\", \"connect\", \"tls\" or \"http\" is needed");
    CHECK(site_error_of(R"("check": {"kind": "http", "path": "health"})") ==
          site + "check.path: is 'health', a path such as \"/health\" is allowed");
    CHECK(site_error_of(R"("check": {"kind": "http", "status": [300, 200]})") ==
          site +
              "check.status: is no status, one from 100 to 599 such as 200, or the least and "
              "the most such as [200, 399], is allowed");
    CHECK(site_error_of(R"("check": {"kind": "http", "intervall": "1s"})") ==
          site + "check.intervall: is not a key of a check, did you mean 'interval'?");
    CHECK(site_error_of(R"("port": 443)") ==
          site + "port: is not a key of a site, did you mean 'ports'?");
    CHECK(site_error_of(R"("ports": 1, "ports": 2)") ==
          site + "ports: is given twice, first in line 2");
}

TEST_CASE("tcpshim's configuration: what only stands wrong beside something else is refused",
          "[tcpshim_configuration]") {
    CHECK(errors_of("{\"sites\": {\"/s/a\": {}}}") ==
          ConfigurationErrors{"t.json:1: sites./s/a.to: is missing, at least one of " +
                              std::string(Backends) + " is needed"});
    CHECK(errors_of("{\"sites\": {\"/s/a\": []}}") ==
          ConfigurationErrors{"t.json:1: sites./s/a: is empty, at least one of " +
                              std::string(Backends) + " is needed"});
    CHECK(errors_of(R"({"sites": {"/s/a": ["b:1", {"address": "b:1"}]}})") ==
          ConfigurationErrors{"t.json:1: sites./s/a[1].address: 'b:1' is there already; 'weight' "
                              "gives it a larger share"});
    CHECK(errors_of(R"({"sites": {"/s/a": {"to": [{"weight": 1}]}}})") ==
          ConfigurationErrors{"t.json:1: sites./s/a.to[0].address: is missing, " +
                              std::string(Backends) + " is needed"});
    CHECK(errors_of(R"({"sites": {"/s/a": {"to": {"address": "b:1", "weight": 257}}}})") ==
          ConfigurationErrors{
              "t.json:1: sites./s/a.to.weight: is 257, a whole number from 1 to 256 is allowed"});
    CHECK(errors_of(R"({"sites": {"/s/a": "b:1", "/s/a/": "c:1"}})") ==
          ConfigurationErrors{
              "t.json:1: sites./s/a/: is the same directory as that of t.json:1: sites./s/a"});
    CHECK(errors_of(R"({"sites": {"/s/a": {"to": "b:1", "failure_pause": "2m"}}})") ==
          ConfigurationErrors{"t.json:1: sites./s/a: 'failure_pause' (2m) is longer than "
                              "'failure_pause_max' (1m)"});
    CHECK(
        errors_of(R"({"sites": {"/s/a": {"to": "unix:/b", "transparent": true}}})") ==
        ConfigurationErrors{"t.json:1: sites./s/a: is 'transparent', and to the Unix socket "
                            "'unix:/b' nobody comes from an address: use 'proxy_protocol' there"});
    CHECK(errors_of(R"({"sites": {"a/b": "b:1"}})") ==
          ConfigurationErrors{"t.json:1: sites.a/b: is no site, the absolute path of a directory, "
                              "or the name of one in /run/proxyd/sites, is allowed"});
}

TEST_CASE("tcpshim's configuration: the file as a whole", "[tcpshim_configuration]") {
    constexpr std::string_view SitesExample =
        "an object from site directories to backends such as {\"/run/proxyd/sites/nas\": "
        "\"nas.lan:443\"}";
    CHECK(errors_of("{}") == ConfigurationErrors{"t.json:1: sites: is missing, " +
                                                 std::string(SitesExample) + " is needed"});
    CHECK(errors_of("{\"sites\": []}") ==
          ConfigurationErrors{"t.json:1: sites: is an array, " + std::string(SitesExample) +
                              " is allowed"});
    CHECK(errors_of("{\"sites\": {}}") ==
          ConfigurationErrors{"t.json:1: sites: is empty, " + std::string(SitesExample) +
                              " is allowed"});
    CHECK(errors_of("[]") == ConfigurationErrors{"t.json:1: is an array, an object is allowed"});
    CHECK(errors_of("{").size() == 1);
    CHECK(error_of(R"("site": {})") ==
          "t.json:2: site: is not a key of tcpshim, did you mean "
          "'sites'?");
    CHECK(error_of(R"("connections_max": 0)") ==
          "t.json:2: connections_max: is 0, a whole number from 1 to 1000000 is allowed");
    CHECK(error_of(R"("instance": "a.b")") ==
          "t.json:2: instance: is 'a.b', up to 64 letters, "
          "digits, '-' and '_' is allowed");
    CHECK(errors_of(R"({"sites": {"/s/a": "b:1"}, "instance": ")" + std::string(64, 'x') + "\"}")
              .empty());
    CHECK(errors_of(R"({"sites": {"/s/a": "b:1"}, "instance": ")" + std::string(65, 'x') + "\"}")
              .size() == 1);
    CHECK(error_of(R"("resolvers": ["dns.lan"])") ==
          "t.json:2: resolvers[0]: 'dns.lan' is no address, an array of addresses such as "
          "\"192.0.2.53\" or \"[2001:db8::53]:5353\" is allowed");
    CHECK(error_of(R"("defaults": {"to": "b:1"})")
              .starts_with("t.json:2: defaults.to: is not a key of the defaults of sites"));
    CHECK(error_of(R"("defaults": [])") == "t.json:2: defaults: is an array, an object is allowed");
    CHECK(errors_of(R"({"sites": {"/s/a": {"to": ":1", "ports": 0}}, "x": 1})").size() == 3);
}
