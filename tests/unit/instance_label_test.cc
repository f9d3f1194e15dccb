// SPDX-License-Identifier: MIT
#include "base/handoff/instance_label.h"

#include "tests/unit/catch.h"

#include <string>

namespace proxyd {
namespace {

InstanceLabel label(std::string_view host, uint16_t port, bool is_ipv6_only, uint32_t index) {
    return {*SocketAddress::parse_host(host, port), is_ipv6_only, index};
}

std::string formatted(const InstanceLabel& label) {
    InstanceLabel::Text text;
    return std::string(label.format(text));
}

// Parsed and formatted again; "-" if it can't be parsed.
std::string round_trip(std::string_view text) {
    const auto label = InstanceLabel::parse(text);
    return label ? formatted(*label) : "-";
}

TEST_CASE("writes family, address, port and index", "[instance_label]") {
    CHECK(formatted(label("0.0.0.0", 443, false, 0)) == "4-any-443-0");
    CHECK(formatted(label("192.0.2.255", 8080, false, 3)) == "4-c00002ff-8080-3");
    CHECK(formatted(label("::", 443, false, 0)) == "d-any-443-0");
    CHECK(formatted(label("::", 443, true, 0)) == "6-any-443-0");
    CHECK(formatted(label("2001:db8::1", 1, true, 0)) == "6-20010db8000000000000000000000001-1-0");
}

TEST_CASE("the longest label fits its text", "[instance_label]") {
    const std::string longest =
        formatted(label("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535, true, 9999));
    CHECK(longest == "6-ffffffffffffffffffffffffffffffff-65535-9999");
    CHECK(longest.size() < InstanceLabel::TextBytesMax);
}

TEST_CASE("reads the labels that it writes", "[instance_label]") {
    for (const char* text :
         {"4-any-443-0", "4-c00002ff-8080-3", "d-any-1-9999", "6-any-65535-0",
          "6-20010db8000000000000000000000001-443-12", "d-00000000000000000000000000000001-80-0"}) {
        CHECK(round_trip(text) == text);
    }
}

TEST_CASE("a label that was read has the address that was bound", "[instance_label]") {
    const auto read = InstanceLabel::parse("4-7f000001-8443-2");
    REQUIRE(read);
    CHECK(read->address == *SocketAddress::parse_host("127.0.0.1", 8443));
    CHECK(read->index == 2);
    CHECK_FALSE(read->is_ipv6_only);
    CHECK(InstanceLabel::parse("6-any-443-0")->is_ipv6_only);
    CHECK_FALSE(InstanceLabel::parse("d-any-443-0")->is_ipv6_only);
}

TEST_CASE("reads no label into anything else", "[instance_label]") {
    for (const char* text : {"",
                             "-",
                             "4",
                             "4-any",
                             "4-any-443",
                             "4-any-443-",
                             "4-any--0",
                             "4--443-0",
                             "-any-443-0",
                             "4-any-443-0-",
                             "4-any-443-0-0",
                             "5-any-443-0",
                             "44-any-443-0",
                             "D-any-443-0",
                             "4-Any-443-0",
                             "4-7f00000-443-0",
                             "4-7f0000011-443-0",
                             "4-7F000001-443-0",
                             "4-7f00000g-443-0",
                             "6-7f000001-443-0",
                             "d-7f000001-443-0",
                             "4-20010db8000000000000000000000001-443-0",
                             " 4-any-443-0",
                             "4-any-443-0 ",
                             "keeper"}) {
        CAPTURE(text);
        CHECK(round_trip(text) == "-");
    }
}

TEST_CASE("port and index stay in their bounds and have one spelling", "[instance_label]") {
    CHECK(round_trip("4-any-1-0") == "4-any-1-0");
    CHECK(round_trip("4-any-65535-0") == "4-any-65535-0");
    CHECK(round_trip("4-any-443-9999") == "4-any-443-9999");
    for (const char* text :
         {"4-any-0-0", "4-any-65536-0", "4-any-99999999999-0", "4-any-443-10000", "4-any-0443-0",
          "4-any-443-00", "4-any-443-01", "4-any-+443-0", "4-any-443-+1", "4-any-443a-0"}) {
        CAPTURE(text);
        CHECK(round_trip(text) == "-");
    }
}

TEST_CASE("a label suits the clients that its listener would have met", "[instance_label]") {
    CHECK(InstanceLabel::parse("4-any-443-0")->suits(AF_INET));
    CHECK_FALSE(InstanceLabel::parse("4-any-443-0")->suits(AF_INET6));
    CHECK_FALSE(InstanceLabel::parse("6-any-443-0")->suits(AF_INET));
    CHECK(InstanceLabel::parse("6-any-443-0")->suits(AF_INET6));
    CHECK(InstanceLabel::parse("d-any-443-0")->suits(AF_INET));
    CHECK(InstanceLabel::parse("d-any-443-0")->suits(AF_INET6));
}

}  // namespace
}  // namespace proxyd
