// SPDX-License-Identifier: MIT
#include "proxyd/configuration.h"

#include "tests/unit/catch.h"

using proxyd::Configuration;
using proxyd::ConfigurationErrors;
using proxyd::parse_configuration;
using proxyd::print_configuration;

namespace {

ConfigurationErrors errors_of(std::string_view text) {
    const auto configuration = parse_configuration(text, "p.json");
    return configuration ? ConfigurationErrors{} : configuration.error();
}

// The one error of a configuration that is right but for `line`, which becomes line 2.
std::string error_of(std::string_view line) {
    const auto errors = errors_of("{\"listen\": [\":443\"], \"routes\": {\"*\": \"/s\"},\n" +
                                  std::string(line) + "\n}");
    REQUIRE(errors.size() == 1);
    return errors[0];
}

std::string listen_error_of(std::string_view value) {
    const auto errors =
        errors_of("{\"routes\": {\"*\": \"/s\"},\n\"listen\": " + std::string(value) + "}");
    REQUIRE(errors.size() == 1);
    return errors[0];
}

std::string route_error_of(std::string_view member) {
    const auto errors =
        errors_of("{\"listen\": [\":443\"], \"routes\": {\n" + std::string(member) + "}}");
    REQUIRE(errors.size() == 1);
    return errors[0];
}

}  // namespace

TEST_CASE("configuration: the smallest one has every default", "[configuration]") {
    const auto configuration =
        parse_configuration("{\"listen\": [\":443\"], \"routes\": {\"*\": \"/srv/a/\"}}", "p.json");

    REQUIRE(configuration.has_value());
    REQUIRE(configuration->listeners.size() == 1);
    REQUIRE(configuration->listeners[0].addresses.size() == 2);
    CHECK(configuration->listeners[0].addresses[0].family() == AF_INET);
    CHECK(configuration->listeners[0].addresses[1].family() == AF_INET6);
    CHECK(configuration->listeners[0].place == "p.json:1: listen[0]");
    REQUIRE(configuration->routes.size() == 1);
    CHECK(configuration->routes[0].site_directory == "/srv/a");
    CHECK(configuration->hello_bytes_max == 32768);
    CHECK(configuration->hello_timeout == std::chrono::seconds(10));
    CHECK(configuration->wait_for_site == std::chrono::seconds(10));
    CHECK(configuration->pending_max == 1000);
    CHECK(configuration->sessions_max == 10000);
    CHECK(configuration->daemon.access_log == "stderr");
}

TEST_CASE("configuration: printed and read again it prints the same", "[configuration]") {
    const auto configuration = parse_configuration(
        R"({"listen": ["127.0.0.1:8443", {"address": "[::1]:25", "site": "/srv/mail"}],
            "routes": {"Blog.Example.ORG.": "/srv/blog", "*.example.org": "/srv/x", "@tls": "/t"},
            "sites": "/srv/sites", "hello_timeout": "1500ms", "wait_for_site": "0s",
            "access_log": "/var/log/a", "access_log_format": "json", "pending_max": 7,
            "log_level": "debug", "metrics": "[::1]:9100"})",
        "p.json");

    REQUIRE(configuration.has_value());
    CHECK(configuration->routes[0].key == "blog.example.org");
    const std::string printed = print_configuration(*configuration);
    const auto again = parse_configuration(printed, "p.json");
    REQUIRE(again.has_value());
    CHECK(print_configuration(*again) == printed);
    CHECK(again->wait_for_site == std::chrono::seconds(0));
    CHECK(again->listeners[1].site == "/srv/mail");
}

TEST_CASE("configuration: what is not an object, or misses what is needed", "[configuration]") {
    CHECK(errors_of("[]") == ConfigurationErrors{"p.json:1: is an array, an object is allowed"});
    CHECK(errors_of("{}") ==
          ConfigurationErrors{"p.json:1: listen: is missing, an array of addresses such as "
                              "[\":443\", \":80\"] is needed"});
    CHECK(errors_of("{\"listen\": [\":1\"]}") ==
          ConfigurationErrors{"p.json:1: routes: is empty, and so is 'sites': there is nowhere to "
                              "hand connections to from a listener without a site of its own"});
    CHECK(errors_of("{\"listen\": [{\"address\": \":1\", \"site\": \"/s\"}]}").empty());
    CHECK(errors_of("{\"listen\": [\":2\", {\"address\": \":1\", \"site\": \"/s\"}]}").size() == 1);
}

TEST_CASE("configuration: unknown keys come with a hint", "[configuration]") {
    CHECK(error_of(R"("rotues": {})") ==
          "p.json:2: rotues: is not a key of proxyd, did you mean 'routes'?");
    CHECK(error_of(R"("colour": 1)") ==
          "p.json:2: colour: is not a key of proxyd, allowed are listen, routes, alpn, sites, "
          "tcpshim, "
          "hello_bytes_max, hello_timeout, silent_after, wait_for_site, pending_max, sessions_max, "
          "source_sessions_max, source_connections_per_second_max, access_log, access_log_format, "
          "workers, worker_timeout, user, control, log_level, metrics");
    CHECK(error_of(R"("routes": {})") == "p.json:2: routes: is given twice, first in line 1");
}

TEST_CASE("configuration: values of a wrong type or out of bounds", "[configuration]") {
    CHECK(error_of(R"("hello_bytes_max": "4")") ==
          "p.json:2: hello_bytes_max: is a string, a whole number from 512 to 65536 is allowed");
    CHECK(error_of(R"("hello_bytes_max": 511)") ==
          "p.json:2: hello_bytes_max: is 511, a whole number from 512 to 65536 is allowed");
    CHECK(error_of(R"("hello_bytes_max": 65537)") ==
          "p.json:2: hello_bytes_max: is 65537, a whole number from 512 to 65536 is allowed");
    CHECK(error_of(R"("pending_max": 1.5)") ==
          "p.json:2: pending_max: is no whole number, a whole number from 1 to 1000000 is allowed");
    CHECK(error_of(R"("hello_timeout": 10)") ==
          "p.json:2: hello_timeout: is a number, a duration from \"1ms\" to \"1h\" such as "
          "\"250ms\", \"10s\" or \"2m\" is allowed");
    CHECK(error_of(R"("wait_for_site": "10 s")") ==
          "p.json:2: wait_for_site: is '10 s', a duration from \"0s\" to \"1h\" such as "
          "\"250ms\", \"10s\" or \"2m\" is allowed");
    CHECK(error_of(R"("wait_for_site": "61m")").starts_with("p.json:2: wait_for_site: is '61m'"));
    CHECK(error_of(R"("sites": "sites")") ==
          "p.json:2: sites: 'sites' is no absolute path, the absolute path of a directory is "
          "allowed");
    CHECK(error_of(R"("access_log": "log")") ==
          "p.json:2: access_log: 'log' is no absolute path, \"stderr\", \"journal\" or an absolute "
          "path is "
          "allowed");
    CHECK(error_of(R"("access_log_format": "xml")") ==
          "p.json:2: access_log_format: is 'xml', \"text\" or \"json\" is allowed");
}

TEST_CASE("configuration: addresses to listen on", "[configuration]") {
    constexpr auto Forms = "\":443\", \"192.0.2.1:443\" or \"[2001:db8::1]:443\" is allowed";
    for (const std::string bad : {"443", "localhost:443", "1.2.3.4", "1.2.3:4", "::1:443", ":65536",
                                  ":-1", ":", "[1.2.3.4]:4", "1.2.3.4:44x", "[::1:4", ""})
        CHECK(listen_error_of("[\"" + bad + "\"]") ==
              "p.json:2: listen[0]: '" + bad + "' is no address to listen on, " + Forms);
    CHECK(listen_error_of("[]") ==
          "p.json:2: listen: is empty, an array of one address or more is allowed");
    CHECK(listen_error_of("\":443\"") ==
          "p.json:2: listen: is a string, an array of one address or more is allowed");
    CHECK(listen_error_of("[7]") ==
          "p.json:2: listen[0]: is a number, an address or an object with 'address' is allowed");
    CHECK(listen_error_of("[{\"adress\": \":1\", \"address\": \":2\"}]") ==
          "p.json:2: listen[0].adress: is not a key of a listener, did you mean 'address'?");
    CHECK(listen_error_of("[{\"site\": \"/s\"}]") ==
          std::string("p.json:2: listen[0].address: is missing, \":443\", \"192.0.2.1:443\" or "
                      "\"[2001:db8::1]:443\" is needed"));
    CHECK(listen_error_of("[\":443\", \":443\"]") ==
          "p.json:2: listen[1]: ':443' is taken already by p.json:2: listen[0]");
    CHECK(listen_error_of("[\"[::ffff:192.0.2.1]:443\"]") ==
          "p.json:2: listen[0]: '[::ffff:192.0.2.1]:443' is an IPv4 address in the form of IPv6, "
          "its own form, such as \"192.0.2.1:443\", is allowed");
    CHECK(listen_error_of("[\":443\", \"0.0.0.0:443\"]") ==
          "p.json:2: listen[1]: '0.0.0.0:443' is taken already by p.json:2: listen[0]");
}

TEST_CASE("configuration: routes", "[configuration]") {
    CHECK(route_error_of("\"a.b\": \"/1\",\n\"A.B.\": \"/2\"") ==
          "p.json:3: routes.A.B.: is given twice, first in line 2");
    CHECK(route_error_of(R"("a..b": "/1")") ==
          "p.json:2: routes.a..b: begins with a dot or has two in a row; allowed: a name, "
          "\"*.\" before a name, a class such as \"@tls\", or \"*\"");
    CHECK(route_error_of(R"("a.*.b": "/1")") ==
          "p.json:2: routes.a.*.b: has a '*' inside, only \"*\" and \"*.\" before a name are "
          "allowed");
    CHECK(route_error_of(R"("@htpt": "/1")") ==
          "p.json:2: routes.@htpt: is not a protocol class, did you mean '@http'?");
    CHECK(route_error_of(R"("a.b": 1)") ==
          "p.json:2: routes.a.b: is a number, the absolute path of a directory, "
          "\"tcp://HOST:PORT\", or an object with 'site' or 'tcp' is allowed");
}

TEST_CASE("configuration: all errors are told in one run, in the order of the file",
          "[configuration]") {
    CHECK(errors_of("{\n\"listen\": [\"x\"],\n\"routes\": {\"..\": \"/s\"},\n\"pending_max\": 0}")
              .size() == 3);
}

TEST_CASE("configuration: a file that is not JSON names the line", "[configuration]") {
    const auto errors = errors_of("{\n\"listen\": [\n}");

    REQUIRE(errors.size() == 1);
    CHECK(errors[0].starts_with("p.json:3: is not JSON: "));
}

TEST_CASE("configuration: the control socket", "[configuration]") {
    const auto parse = [](std::string_view control) {
        return parse_configuration(
            R"({"listen": [":1"], "sites": "/s")" + std::string(control) + "}", "p.json");
    };
    CHECK(parse("")->daemon.control == "/run/proxyd/control.sock");
    CHECK(parse("")->daemon.control_place.empty());
    CHECK(parse(R"(, "control": "none")")->daemon.control == "none");
    CHECK(parse(R"(, "control": "/a/b")")->daemon.control_place == "p.json:1: control");
    CHECK(error_of(R"("control": "here")") ==
          "p.json:2: control: 'here' is no absolute path, \"none\" or an absolute path is allowed");
    CHECK(error_of(R"("control": 7)") ==
          "p.json:2: control: is a number, \"none\" or an absolute path is allowed");
}
