// SPDX-License-Identifier: MIT
#include "proxyrun/running_proxyd.h"

#include "tests/unit/catch.h"

#include <nlohmann/json.hpp>

using namespace proxyd;
using Ports = std::vector<uint16_t>;

namespace {

Ports ports_of(const char* status) {
    return RunningProxyd::from(nlohmann::ordered_json::parse(status)).edge_ports_of("/sites/blog");
}

}  // namespace

TEST_CASE("running_proxyd: without one it is 443 and 80", "[running_proxyd]") {
    CHECK(RunningProxyd().edge_ports_of("/sites/blog") == Ports{80, 443});
    CHECK(RunningProxyd::ask("/no/such/socket").edge_ports_of("/sites/blog") == Ports{80, 443});
}

TEST_CASE("running_proxyd: each listener's port leads to the site", "[running_proxyd]") {
    CHECK(ports_of(R"({"listeners": [{"address": "192.0.2.1:8443", "site": null},
                                     {"address": "[2001:db8::1]:8443", "site": null},
                                     {"address": "0.0.0.0:25"}]})") == Ports{25, 80, 443, 8443});
}

TEST_CASE("running_proxyd: one that has a site of its own is for that one", "[running_proxyd]") {
    CHECK(ports_of(R"({"listeners": [{"address": "0.0.0.0:25", "site": "/sites/mail"},
                                     {"address": "0.0.0.0:8443", "site": "/sites/blog"}]})") ==
          Ports{80, 443, 8443});
}

TEST_CASE("running_proxyd: what it can't read it passes over", "[running_proxyd]") {
    CHECK(ports_of(R"({"listeners": "?", "user": 7})") == Ports{80, 443});
    CHECK(ports_of(R"({"listeners": [7, {}, {"address": 7}, {"address": "host"},
                                     {"address": "host:"}, {"address": "host:0"},
                                     {"address": "host:65536"}, {"address": "host:1x"},
                                     {"address": "host:1"}]})") == Ports{1, 80, 443});
}

TEST_CASE("running_proxyd: a port where nobody comes", "[running_proxyd]") {
    const auto proxyd = RunningProxyd::from(nlohmann::ordered_json::parse(
        R"({"listeners": [{"address": "0.0.0.0:443"}, {"address": "[::]:443"},
                          {"address": "0.0.0.0:80"},
                          {"address": "0.0.0.0:25", "site": "/sites/mail"}]})"));
    const auto warning = [&](const char* pair) {
        return proxyd.edge_warning("/sites/blog", {"443=8443", pair});
    };
    CHECK(warning("80").empty());
    CHECK(warning("80=8080").empty());
    CHECK(warning("8080") ==
          "--port 8080: proxyd doesn't listen on port 8080 for this site, but on 80 and 443: for a "
          "server that binds 8080 it is --port 443=8080 if it speaks TLS, else --port 80=8080");
    CHECK(
        warning("8080=80") ==
        "--port 8080=80: proxyd doesn't listen on port 8080 for this site, but on 80 and 443: for "
        "a server that binds 8080 it is --port 80=8080");
    CHECK(
        warning("25=2525") ==
        "--port 25=2525: proxyd doesn't listen on port 25 for this site, but on 80 and 443: for a "
        "server that binds 2525 it is --port 443=2525 if it speaks TLS, else --port 80=2525");
    CHECK(proxyd.edge_warning("/sites/mail", {"25=2525"}).empty());
    CHECK(RunningProxyd().edge_warning("/sites/blog", {"8080"}).empty());
}

TEST_CASE("running_proxyd: knows who the workers are", "[running_proxyd]") {
    CHECK(RunningProxyd::from({{"user", "www-data"}}).user == "www-data");
    CHECK(RunningProxyd::from(nlohmann::ordered_json::object()).user.empty());
}
