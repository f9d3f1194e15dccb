// SPDX-License-Identifier: MIT
#include "proxyd/explanation.h"

#include "tests/support/temporary_directory.h"
#include "tests/unit/catch.h"

#include <filesystem>

using namespace proxyd;

namespace {

// What there is to explain: two listeners and some routes.
class Fixture {
  public:
    Fixture() : listeners_(entrances()) {}

    Explanation explain(const ExplainRequest& request) const {
        std::vector<const Entrance*> listeners;
        for (const Entrance& listener : listeners_)
            listeners.push_back(&listener);
        return proxyd::explain(request, table_, listeners);
    }

  private:
    std::vector<Entrance> entrances() const {
        const auto at = [](const char* host, uint16_t port) {
            return *SocketAddress::parse_host(host, port);
        };
        return {{at("192.0.2.1", 443), {"listener", ""}, nullptr, {}},
                {at("2001:db8::1", 443), {"listener", ""}, nullptr, {}},
                {at("192.0.2.1", 25), {"listener", "/mail"}, &denied_, {}},
                {at("192.0.2.1", 80), {"listener", ""}, nullptr, {}}};
    }

    const AccessLists denied_{{}, *CidrList::parse({"198.51.100.0/24"})};
    const RouteTable table_{
        {{"*.example.org", "/run/wild", 1,
          std::make_shared<RouteOptionsConfiguration>(RouteOptionsConfiguration{
              {*CidrList::parse({"192.0.2.0/24"}), {}}, {{"acme-tls/1", "/run/acme"}}})},
         {"@http", "/run/http", 2}},
        nullptr};
    const std::vector<Entrance> listeners_;
};

std::vector<std::string> lines(const Explanation& explanation) {
    std::vector<std::string> lines;
    for (const DecisionStep& step : explanation.steps)
        lines.push_back(step.rule + " [" + step.key + "] " +
                        std::string(step_outcome_word(step.outcome)) + ": " + step.text);
    return lines;
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("every rule that was tried is told, in order", "[explanation]") {
    const Explanation explanation =
        Fixture().explain({.name = "Blog.Example.Org.", .from = "192.0.2.7"});

    CHECK(
        lines(explanation) ==
        Lines{
            "listener [192.0.2.1:443] pass: comes in at 192.0.2.1:443",
            "exact_name [blog.example.org] no_match: exact name blog.example.org: no such route",
            "wildcard_name [*.example.org] match: wildcard *.example.org: matches, site /run/wild",
            "route_allow [192.0.2.7] pass: allow 192.0.2.0/24: 192.0.2.7 is in it",
            "route_alpn [] no_match: alpn of the route: the client offers no protocol"});
    CHECK_FALSE(explanation.is_rejected);
    CHECK(explanation.reason == "wildcard_name");
    CHECK(explanation.route == "*.example.org");
    CHECK(explanation.site_directory == "/run/wild");
    CHECK(explanation.listener == "192.0.2.1:443");
    CHECK(explanation.port == 443);
}

TEST_CASE("a rejection ends with the list that refuses", "[explanation]") {
    const Explanation explanation =
        Fixture().explain({.name = "blog.example.org", .from = "198.51.100.7"});

    CHECK(lines(explanation).back() ==
          "route_allow [198.51.100.7] refuse: allow 192.0.2.0/24: 198.51.100.7 is not in it");
    CHECK(explanation.is_rejected);
    CHECK(explanation.reason == "route_allow");
    CHECK(explanation.route == "*.example.org");
    CHECK(explanation.site_directory.empty());
}

TEST_CASE("without an address no list is asked, which is told", "[explanation]") {
    const Explanation explanation =
        Fixture().explain({.name = "blog.example.org", .alpn = {"h2", "acme-tls/1"}});

    CHECK(lines(explanation)[3] ==
          "route_allow [] skip: allow 192.0.2.0/24: not asked, since no client address is given");
    CHECK(lines(explanation)[4] ==
          "route_alpn [acme-tls/1] match: alpn of the route: acme-tls/1 matches, site /run/acme");
    CHECK(explanation.reason == "route_alpn");
    CHECK(explanation.site_directory == "/run/acme");
}

TEST_CASE("a client without a name, and one that nothing matches", "[explanation]") {
    CHECK(lines(Fixture().explain({.port = 80})) ==
          Lines{"listener [192.0.2.1:80] pass: comes in at 192.0.2.1:80",
                "exact_name [] skip: names: not looked up, since the client gives none",
                "protocol_class [@http] match: protocol class @http: matches, site /run/http"});
    const Explanation explanation = Fixture().explain({.name = "a.net"});
    CHECK(lines(explanation) ==
          Lines{"listener [192.0.2.1:443] pass: comes in at 192.0.2.1:443",
                "exact_name [a.net] no_match: exact name a.net: no such route",
                "wildcard_name [*.net] no_match: wildcard *.net: no such route",
                "protocol_class [@tls] no_match: protocol class @tls: no such route",
                "default [*] no_match: default *: no such route"});
    CHECK(explanation.reason == "no_route");
}

TEST_CASE("directories in sites are told with their path", "[explanation]") {
    const test::TemporaryDirectory temporary;
    const std::string path = temporary.path();
    std::filesystem::create_directory(std::filesystem::path(path) / "*.example.org");
    EventLoop loop;
    DirectoryWatch watch(loop);
    SitesDirectory sites(loop, watch, path);
    REQUIRE(sites.open().has_value());
    const RouteTable table(std::vector<proxyd::RouteConfiguration>{}, &sites);
    const Entrance listener{*SocketAddress::parse_host("::1", 443), {"listener", ""}, nullptr, {}};
    const std::array<const Entrance*, 1> listeners = {&listener};

    const Explanation explanation = explain({.name = "a.example.org"}, table, listeners);

    CHECK(explanation.route == "sites/*.example.org");
    CHECK_FALSE(explanation.follows_links);
    CHECK(lines(explanation)[4] == "sites_exact [a.example.org] no_match: directory " + path +
                                       "/a.example.org: is not there");
    CHECK(lines(explanation)[5] == "sites_wildcard [*.example.org] match: wildcard directory " +
                                       path + "/*.example.org: is there");
}

TEST_CASE("the listener is the one at the port that fits the client", "[explanation]") {
    CHECK(Fixture().explain({.name = "a", .from = "2001:db8::7"}).listener == "[2001:db8::1]:443");
    CHECK(Fixture().explain({.name = "a", .listener = "192.0.2.1:80"}).listener == "192.0.2.1:80");
    CHECK(lines(Fixture().explain({.name = "a", .port = 8443})) ==
          Lines{"listener [:8443] refuse: listener :8443: there is none for this client, "
                "only 192.0.2.1:443, [2001:db8::1]:443, 192.0.2.1:25, 192.0.2.1:80"});
    CHECK(Fixture().explain({.name = "a", .port = 80, .from = "::1"}).reason == "no_listener");
}

TEST_CASE("a listener with its own site looks at no name", "[explanation]") {
    CHECK(lines(Fixture().explain({.name = "..", .port = 25, .from = "192.0.2.9"})) ==
          Lines{"listener [192.0.2.1:25] pass: comes in at 192.0.2.1:25",
                "listener_deny [192.0.2.9] pass: deny 198.51.100.0/24: 192.0.2.9 is not in it",
                "listener_site [listener] match: the listener's own site: /mail, nothing is looked "
                "at"});
    CHECK(Fixture().explain({.port = 25, .from = "198.51.100.1"}).reason == "listener_deny");
}

TEST_CASE("protocols without names have their class, and no part in the default", "[explanation]") {
    CHECK(Fixture().explain({.name = "x.example.org", .protocol = "h2"}).route == "*.example.org");
    CHECK(Fixture().explain({.name = "other.org", .protocol = "h2"}).route == "@http");
    CHECK(Fixture().explain({.name = "x.example.org", .protocol = "ssh"}).reason == "no_route");
    CHECK(Fixture().explain({.protocol = "other"}).reason == "protocol_unknown");
    CHECK(Fixture().explain({.protocol = "silent"}).reason == "hello_timeout");
}

TEST_CASE("a name is checked as clients' names are", "[explanation]") {
    CHECK(lines(Fixture().explain({.name = "a..b"})).back() ==
          "name [a..b] refuse: a..b: no name that a client may ask for (name_has_empty_label)");
    CHECK(Fixture().explain({.name = "192.0.2.1"}).reason == "name_is_ip_literal");
    CHECK(lines(Fixture().explain({.protocol = "h2"})).back() ==
          "name [] refuse: each request of HTTP/2 names its host: one without is malformed");
    CHECK(Fixture().explain({.protocol = "h2"}).reason == "http_host_missing");
}

TEST_CASE("protocols without names are asked by their class only", "[explanation]") {
    const Explanation explanation =
        Fixture().explain({.name = "blog.example.org", .protocol = "ssh"});

    CHECK(
        lines(explanation) ==
        Lines{"listener [192.0.2.1:443] pass: comes in at 192.0.2.1:443",
              "name [blog.example.org] skip: the name counts for nothing: clients of the protocol "
              "ssh have none",
              "exact_name [] skip: names: not looked up, since the client gives none",
              "protocol_class [@ssh] no_match: protocol class @ssh: no such route",
              "default [*] skip: route *: only for protocols that have names"});
    CHECK(explanation.reason == "no_route");
    CHECK(Fixture().explain({.protocol = "other"}).reason == "protocol_unknown");
    CHECK(Fixture().explain({.name = "a", .protocol = "h2"}).route == "@http");
}

TEST_CASE("behind a load balancer the client's family is not the listener's", "[explanation]") {
    const RouteTable table({{"*", "/default", 1}}, nullptr);
    const Entrance listener{*SocketAddress::parse_host("192.0.2.1", 443),
                            {"listener", ""},
                            nullptr,
                            {.is_from_all = true, .sources = {}}};
    const std::array<const Entrance*, 1> listeners = {&listener};

    CHECK(explain({.name = "a", .from = "2001:db8::7"}, table, listeners).reason == "default");
}

TEST_CASE("of a list that is too long the end counts for nothing", "[explanation]") {
    const std::string most(AlpnList::BytesMax - 1, 'x');
    const Explanation explanation =
        Fixture().explain({.name = "a.example.org", .alpn = {most, "acme-tls/1"}});

    CHECK(lines(explanation)[0] ==
          "alpn [acme-tls/1] skip: acme-tls/1: left out, and all behind it, since the list is too "
          "long");
    CHECK(explanation.reason == "wildcard_name");
}

TEST_CASE("what is wrong with a request is told as a step", "[explanation]") {
    CHECK(Fixture().explain({.name = "a", .alpn = {""}}).reason == "tls_alpn");
    CHECK(lines(Fixture().explain({.name = "a", .alpn = {std::string(256, 'x')}})) ==
          Lines{"alpn [" + std::string(256, 'x') +
                "] refuse: an application protocol has 1 to 255 bytes, not 256"});
    CHECK(lines(Fixture().explain({.port = 80, .alpn = {"h2"}}))[0] ==
          "alpn [] skip: only clients that speak TLS offer protocols");
}
