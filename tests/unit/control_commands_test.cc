// SPDX-License-Identifier: MIT
#include "proxyd/control_commands.h"

#include "tests/unit/catch.h"

#include <nlohmann/json.hpp>

using namespace proxyd;

namespace {

std::string problem(const char* request) {
    return problem_with_request(nlohmann::json::parse(request));
}

}  // namespace

TEST_CASE("control_commands: requests that are right", "[control_commands]") {
    CHECK(problem(R"({"do":"status"})") == "");
    CHECK(problem(R"({"do":"sites","match":"blog","page":"/a","limit":1})") == "");
    CHECK(
        problem(
            R"({"do":"explain","name":"a.example","port":443,"alpn":["h2"],"from":"192.0.2.1"})") ==
        "");
    CHECK(problem(R"({"do":"log-level","level":"debug"})") == "");
}

TEST_CASE("control_commands: requests that are wrong", "[control_commands]") {
    CHECK(problem(R"({"do":"backends"})") ==
          "'backends' is a command of tcpshim: proxyctl --control SOCKET backends; for routes to "
          "TCP servers SOCKET is /run/proxyd/tcpshim.sock unless the configuration says otherwise "
          "('proxyctl status' shows it)");
    CHECK(problem("{}") == "\"do\" is missing, the name of a command is needed");
    CHECK(problem(R"({"do":1})") == "\"do\" is missing, the name of a command is needed");
    CHECK(problem(R"({"do":"statsu"})") == "'statsu' is not a command, did you mean 'status'?");
    CHECK(problem(R"({"do":"reload","force":true})") ==
          "'force' is not a key of reload, allowed are do");
    CHECK(problem(R"({"do":"explain","port":0})") ==
          "\"port\" is wrong, a whole number from 1 to 65535 is allowed");
    CHECK(problem(R"({"do":"explain","port":65536})") ==
          "\"port\" is wrong, a whole number from 1 to 65535 is allowed");
    CHECK(problem(R"({"do":"explain","alpn":"h2"})") ==
          "\"alpn\" is wrong, an array of strings is allowed");
    CHECK(problem(R"({"do":"explain","from":"nonsense"})") ==
          "\"from\" is wrong, an IP address is allowed");
    CHECK(problem(R"({"do":"explain","protocol":"gopher"})") ==
          "\"protocol\" is wrong, one of tls, http, h2, ssh, silent, other is allowed");
    CHECK(problem(R"({"do":"sites","limit":0})") ==
          "\"limit\" is wrong, a whole number from 1 is allowed");
    CHECK(problem(R"({"do":"explain","name":7})") == "\"name\" is wrong, a string is allowed");
}
