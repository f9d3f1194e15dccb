// SPDX-License-Identifier: MIT
//
// Beside single cases this draws random configurations and clients, and compares the decision, with
// and without a trace, to what a straightforward reading of docs/CONFIGURATION.md gives.
#include "proxyd/decision.h"

#include "tests/support/temporary_directory.h"
#include "tests/unit/catch.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <random>

using namespace proxyd;

namespace {

std::shared_ptr<const RouteOptionsConfiguration> options(
    const std::vector<std::string>& allow, const std::vector<std::string>& deny,
    std::vector<AlpnRouteConfiguration> alpn = {}) {
    return std::make_shared<RouteOptionsConfiguration>(RouteOptionsConfiguration{
        {*CidrList::parse(allow), *CidrList::parse(deny)}, std::move(alpn)});
}

AlpnList alpn_of(const std::vector<std::string>& protocols) {
    AlpnList list;
    for (const std::string& protocol : protocols)
        REQUIRE(list.add(protocol));
    return list;
}

SocketAddress address(const std::string& text) {
    return *SocketAddress::parse_host(text, 1234);
}

// "<rule> <directory>", or "<reason> <route>" of a rejection.
std::string summary(const Decision& decision) {
    const Route* const route = decision.match.route;
    if (decision.is_rejected())
        return std::string(decision.rejected) + " " +
               std::string(route != nullptr ? route->key : "-");
    return std::string(route_rule_word(decision.match.rule)) + " " +
           std::string(route->site_directory);
}

std::string decide(const RouteTable& table, const std::string& name,
                   const std::vector<std::string>& alpn = {},
                   const std::string& source = "192.0.2.1", Protocol protocol = Protocol::Tls) {
    const SocketAddress from = address(source);
    return summary(decide_by_hello(table, {name, protocol, alpn_of(alpn), &from}));
}

// The reference.

struct DrawnClient {
    std::string name;
    Protocol protocol = Protocol::Tls;
    std::vector<std::string> alpn;
    std::string source;
};

struct DrawnConfiguration {
    std::vector<RouteConfiguration> routes;
    std::vector<AlpnRouteConfiguration> alpn;
    std::vector<std::string> sites;  // directories
    std::string sites_path;

    const RouteConfiguration* route(const std::string& key) const {
        const auto found = std::find_if(routes.begin(), routes.end(),
                                        [&](const auto& route) { return route.key == key; });
        return found != routes.end() ? &*found : nullptr;
    }
    bool has_site(const std::string& directory) const {
        return std::find(sites.begin(), sites.end(), directory) != sites.end();
    }
};

struct Found {
    std::string rule;
    RouteConfiguration route;
};

std::vector<std::string> wildcards_of(const std::string& name) {
    std::vector<std::string> wildcards;
    for (size_t i = 0; i < name.size(); i++)
        if (name[i] == '.') wildcards.push_back("*" + name.substr(i));
    return wildcards;
}

std::optional<Found> reference_route(const DrawnConfiguration& configuration,
                                     const DrawnClient& client) {
    if (!client.name.empty()) {
        if (const auto* route = configuration.route(client.name)) return {{"exact_name", *route}};
        for (const std::string& wildcard : wildcards_of(client.name))
            if (const auto* route = configuration.route(wildcard))
                return {{"wildcard_name", *route}};
        if (configuration.has_site(client.name))
            return {{"sites_exact",
                     {"sites/" + client.name, configuration.sites_path + "/" + client.name}}};
        for (const std::string& wildcard : wildcards_of(client.name))
            if (configuration.has_site(wildcard))
                return {{"sites_wildcard",
                         {"sites/" + wildcard, configuration.sites_path + "/" + wildcard}}};
    }
    const std::map<Protocol, std::string> classes = {
        {Protocol::Tls, "@tls"}, {Protocol::Http, "@http"},     {Protocol::Http2, "@http"},
        {Protocol::Ssh, "@ssh"}, {Protocol::Silent, "@silent"}, {Protocol::Other, "@other"}};
    const std::string& protocol_class = classes.at(client.protocol);
    if (const auto* route = configuration.route(protocol_class))
        return {{"protocol_class", *route}};
    if (protocol_class != "@tls" && protocol_class != "@http") return std::nullopt;
    if (const auto* route = configuration.route("*")) return {{"default", *route}};
    return std::nullopt;
}

const AlpnRouteConfiguration* first_in_order(const std::vector<AlpnRouteConfiguration>& routes,
                                             const std::vector<std::string>& offered) {
    for (const std::string& protocol : offered)
        for (const AlpnRouteConfiguration& route : routes)
            if (route.protocol == protocol) return &route;
    return nullptr;
}

std::string reference(const DrawnConfiguration& configuration, const DrawnClient& client) {
    const auto found = reference_route(configuration, client);
    if (found && found->route.options) {
        const AccessLists& access = found->route.options->access;
        const SocketAddress source = address(client.source);
        if (access.deny.contains(source)) return "route_deny " + found->route.key;
        if (!access.allow.empty() && !access.allow.contains(source))
            return "route_allow " + found->route.key;
        if (const auto* route = first_in_order(found->route.options->alpn, client.alpn))
            return "route_alpn " + route->site_directory;
    }
    if (const auto* route = first_in_order(configuration.alpn, client.alpn))
        return "alpn " + route->site_directory;
    if (!found && client.protocol == Protocol::Other) return "protocol_unknown -";
    if (!found && client.protocol == Protocol::Silent) return "hello_timeout -";
    if (!found) return "no_route -";
    return found->rule + " " + found->route.site_directory;
}

// The draws: few words, so that much falls together.

class Draw {
  public:
    explicit Draw(uint32_t seed) : engine_(seed) {}

    size_t below(size_t count) {
        return std::uniform_int_distribution<size_t>(0, count - 1)(engine_);
    }
    bool one_in(size_t count) { return below(count) == 0; }

    std::string name() {
        static const std::array<std::string, 3> Labels = {"a", "b", "xn--c"};
        std::string name = Labels[below(3)];
        for (size_t i = below(4); i > 0; i--)
            name += "." + Labels[below(3)];
        return name;
    }
    std::string address() {
        static const std::array<std::string, 6> Addresses = {
            "192.0.2.1", "192.0.2.129", "198.51.100.1", "2001:db8::1", "2001:db8:1::1", "::1"};
        return Addresses[below(Addresses.size())];
    }
    std::vector<std::string> prefixes() {
        static const std::array<std::string, 8> Prefixes = {
            "192.0.2.0/24",  "192.0.2.128/25",  "198.51.100.1", "0.0.0.0/0",
            "2001:db8::/32", "2001:db8:1::/48", "::1",          "::/0"};
        std::vector<std::string> drawn;
        for (size_t i = below(3); i > 0; i--)
            drawn.push_back(Prefixes[below(Prefixes.size())]);
        return drawn;
    }
    std::vector<std::string> protocols() {
        static const std::array<std::string, 4> Protocols = {"acme-tls/1", "h2", "http/1.1", "x"};
        std::vector<std::string> drawn;
        for (size_t i = below(4); i > 0; i--)
            drawn.push_back(Protocols[below(Protocols.size())]);
        return drawn;
    }
    std::vector<AlpnRouteConfiguration> alpn(const std::string& where) {
        std::vector<AlpnRouteConfiguration> routes;
        for (const std::string& protocol : protocols())
            if (first_in_order(routes, {protocol}) == nullptr)
                routes.push_back({protocol, "/alpn/" + where + "/" + protocol});
        return routes;
    }
    std::string route_key() {
        static const std::array<std::string, 5> Classes = {"@tls", "@http", "@ssh", "@silent",
                                                           "@other"};
        switch (below(6)) {
            case 0:
                return "*";
            case 1:
                return Classes[below(Classes.size())];
            case 2:
            case 3:
                return "*." + name();
            default:
                return name();
        }
    }

    DrawnConfiguration configuration(std::string sites_path) {
        DrawnConfiguration drawn;
        drawn.sites_path = std::move(sites_path);
        for (size_t i = below(12); i > 0; i--) {
            const std::string key = route_key();
            if (drawn.route(key) != nullptr) continue;
            drawn.routes.push_back({key, "/routes/" + key});
            if (one_in(2)) drawn.routes.back().options = options(prefixes(), prefixes(), alpn(key));
        }
        if (one_in(2)) drawn.alpn = alpn("all");
        for (size_t i = below(5); i > 0; i--)
            drawn.sites.push_back(one_in(3) ? "*." + name() : name());
        return drawn;
    }
    // As the parsers make them: names and application protocols only where there are some.
    DrawnClient client() {
        static const std::array<Protocol, 7> Protocols = {
            Protocol::Tls, Protocol::Tls,    Protocol::Http, Protocol::Http2,
            Protocol::Ssh, Protocol::Silent, Protocol::Other};
        const Protocol protocol = Protocols[below(Protocols.size())];
        return {has_names(protocol) && !one_in(6) ? name() : "", protocol,
                protocol == Protocol::Tls ? protocols() : std::vector<std::string>(), address()};
    }

  private:
    std::mt19937 engine_;
};

}  // namespace

TEST_CASE("a list of the route refuses before anything else is asked", "[decision]") {
    const RouteTable table(
        {{"a", "/a", 1, options({"192.0.2.0/24"}, {"192.0.2.7"}, {{"acme-tls/1", "/acme"}})},
         {"*", "/default", 2}},
        nullptr, {{"acme-tls/1", "/all"}});

    CHECK(decide(table, "a") == "exact_name /a");
    CHECK(decide(table, "a", {}, "192.0.2.7") == "route_deny a");
    CHECK(decide(table, "a", {}, "198.51.100.1") == "route_allow a");
    CHECK(decide(table, "a", {}, "2001:db8::1") == "route_allow a");
    CHECK(decide(table, "a", {"acme-tls/1"}, "198.51.100.1") == "route_allow a");
    CHECK(decide(table, "b", {}, "198.51.100.1") == "default /default");
}

TEST_CASE("a deny without an allow lets all others in", "[decision]") {
    const RouteTable table({{"a", "/a", 1, options({}, {"192.0.2.0/24"})}}, nullptr);

    CHECK(decide(table, "a", {}, "192.0.2.1") == "route_deny a");
    CHECK(decide(table, "a", {}, "2001:db8::1") == "exact_name /a");
}

TEST_CASE("the route's own alpn goes before that of all names", "[decision]") {
    const RouteTable table(
        {{"a", "/a", 1, options({}, {}, {{"h2", "/a2"}, {"acme-tls/1", "/acme"}})}, {"b", "/b", 2}},
        nullptr, {{"acme-tls/1", "/all"}, {"x", "/x"}});

    CHECK(decide(table, "a", {"http/1.1", "h2", "acme-tls/1"}) == "route_alpn /a2");
    CHECK(decide(table, "a", {"acme-tls/1", "h2"}) == "route_alpn /acme");
    CHECK(decide(table, "a", {"x", "h2"}) == "route_alpn /a2");
    CHECK(decide(table, "a", {"x"}) == "alpn /x");
    CHECK(decide(table, "a", {"http/1.1"}) == "exact_name /a");
    CHECK(decide(table, "b", {"h2", "acme-tls/1"}) == "alpn /all");
}

TEST_CASE("the alpn of all names serves names that no route knows", "[decision]") {
    const RouteTable table({{"a", "/a", 1}}, nullptr, {{"acme-tls/1", "/all"}});

    CHECK(decide(table, "unknown", {"acme-tls/1"}) == "alpn /all");
    CHECK(decide(table, "", {"acme-tls/1"}) == "alpn /all");
    CHECK(decide(table, "unknown", {"h2"}) == "no_route -");
}

TEST_CASE("the access log names the route whose alpn it was", "[decision]") {
    const RouteTable table({{"a.example.org", "/a", 1, options({}, {}, {{"h2", "/a2"}})}}, nullptr,
                           {{"acme-tls/1", "/all"}});
    const SocketAddress source = address("::1");
    const AlpnList h2 = alpn_of({"h2"}), acme = alpn_of({"acme-tls/1"});

    CHECK(decide_by_hello(table, {"a.example.org", Protocol::Tls, h2, &source}).match.route->key ==
          "a.example.org");
    CHECK(decide_by_hello(table, {"b", Protocol::Tls, acme, &source}).match.route->key ==
          "alpn/acme-tls/1");
}

TEST_CASE("a listener's lists come first, then its site", "[decision]") {
    const AccessLists lists{*CidrList::parse({"192.0.2.0/24"}), *CidrList::parse({"192.0.2.7"})};
    const Route none{"listener", ""}, site{"listener", "/site"};
    const SocketAddress good = address("192.0.2.1"), denied = address("192.0.2.7"),
                        stranger = address("198.51.100.1");

    CHECK(decide_at_accept(&lists, none, &good).is_open());
    CHECK(decide_at_accept(nullptr, none, &stranger).is_open());
    CHECK(summary(decide_at_accept(&lists, site, &good)) == "listener_site /site");
    CHECK(summary(decide_at_accept(&lists, site, &denied)) == "listener_deny -");
    CHECK(summary(decide_at_accept(&lists, site, &stranger)) == "listener_allow -");
    CHECK(summary(decide_at_accept(&lists, site, nullptr)) == "listener_site /site");
}

TEST_CASE("random clients of random configurations go where the documents say", "[decision]") {
    Draw draw(20261120);
    EventLoop loop;
    DirectoryWatch watch(loop);
    size_t traced_steps = 0;
    for (int round = 0; round < 150; round++) {
        const test::TemporaryDirectory temporary;
        const DrawnConfiguration configuration = draw.configuration(temporary.path());
        for (const std::string& site : configuration.sites)
            std::filesystem::create_directories(std::filesystem::path(temporary.path()) / site);
        SitesDirectory sites(loop, watch, temporary.path());
        REQUIRE(sites.open().has_value());
        const RouteTable table(configuration.routes, &sites, configuration.alpn);
        for (int i = 0; i < 60; i++) {
            const DrawnClient client = draw.client();
            const SocketAddress source = address(client.source);
            const AlpnList alpn = alpn_of(client.alpn);
            const ClientFacts facts{client.name, client.protocol, alpn, &source};
            const std::string expected = reference(configuration, client);
            DecisionTrace trace;
            REQUIRE(summary(decide_by_hello(table, facts)) == expected);
            REQUIRE(summary(decide_by_hello(table, facts, &trace)) == expected);
            traced_steps += trace.steps().size();
        }
    }
    CHECK(traced_steps > 30'000);
}
