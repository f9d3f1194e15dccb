// SPDX-License-Identifier: MIT
#include "base/handoff/port_pair.h"

#include "tests/unit/catch.h"

using proxyd::PortPair;

TEST_CASE("port_pair: one port means both", "[port_pair]") {
    CHECK(PortPair::parse("443") == PortPair{443, 443});
    CHECK(PortPair::parse("1") == PortPair{1, 1});
    CHECK(PortPair::parse("65535") == PortPair{65535, 65535});
}

TEST_CASE("port_pair: the server's port stands behind the edge's", "[port_pair]") {
    CHECK(PortPair::parse("443=8443") == PortPair{443, 8443});
    CHECK(PortPair::parse("65535=1") == PortPair{65535, 1});
}

TEST_CASE("port_pair: anything else is none", "[port_pair]") {
    for (const char* text :
         {"", "0", "65536", "-1", "+1", " 1", "1 ", "0x50", "443=", "=443", "443=0", "443=65536",
          "443=8443=1", "443,80", "443:8443", "443=8443 ", "https"}) {
        CAPTURE(text);
        CHECK_FALSE(PortPair::parse(text));
    }
}
