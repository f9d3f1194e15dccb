// SPDX-License-Identifier: MIT
#include "proxyrun/port_hint.h"

#include "tests/unit/catch.h"

using namespace proxyd;

namespace {

// Of a server that can't be asked any more.
constexpr pid_t Gone = 0;

}  // namespace

TEST_CASE("port_hint: another port than those of --port", "[port_hint]") {
    CHECK(port_hint({{8080, Gone}}, {"443=8443"}) ==
          "the server listens on port 8080 itself, where proxyd's clients don't come, and on none "
          "of 8443: start it with --port 443=8080");
    CHECK(port_hint({{8080, Gone}, {9000, Gone}}, {"8081", "8082"}) ==
          "the server listens on port 8080 and 9000 itself, where proxyd's clients don't come, and "
          "on none of 8081, 8082: start it with --port 8081=8080");
}

TEST_CASE("port_hint: with the default ports it depends on what the server speaks", "[port_hint]") {
    CHECK(port_hint({{8080, Gone}}, {"80", "443"}) ==
          "the server listens on port 8080 itself, where proxyd's clients don't come, and on none "
          "of 80, 443: start it with --port 443=8080 if it speaks TLS, else --port 80=8080");
}

TEST_CASE("port_hint: a pair that was given the wrong way round", "[port_hint]") {
    CHECK(port_hint({{8080, Gone}}, {"443=8443", "8080=80"}) ==
          "the server listens on port 8080 itself, where proxyd's clients don't come, and not on "
          "80: proxyd's port is the first one of --port, so start it with --port 80=8080");
}

TEST_CASE("port_hint: a port of --port that is open without the library", "[port_hint]") {
    CHECK(port_hint({{80, Gone}, {9000, Gone}}, {"443", "80"}) ==
          "the server has opened port 80 itself, without the library: something between proxyrun "
          "and the server has taken the environment away (env -i, sudo...): put proxyrun behind "
          "that, right before the server's own command");
}
