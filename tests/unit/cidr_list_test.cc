// SPDX-License-Identifier: MIT
#include "base/daemon/configuration/cidr_list.h"

#include "tests/unit/catch.h"

#include <fmt/format.h>

using proxyd::CidrList;
using proxyd::SocketAddress;

namespace {

CidrList list_of(const std::vector<std::string>& texts) {
    auto list = CidrList::parse(texts);
    INFO(list.error());
    REQUIRE(list);
    return *std::move(list);
}

SocketAddress address(std::string_view text) {
    return SocketAddress::parse_host(text, 1234).value();
}

std::string error_of(const std::string& text) {
    const auto list = CidrList::parse({text});
    return list ? "none" : list.error();
}

}  // namespace

TEST_CASE("a prefix contains its first and its last address and not their neighbours",
          "[cidr_list]") {
    const CidrList list = list_of({"192.0.2.0/24", "10.1.2.4/30", "2001:db8:1::/48", "fe80::/10"});

    CHECK(list.contains(address("192.0.2.0")));
    CHECK(list.contains(address("192.0.2.255")));
    CHECK_FALSE(list.contains(address("192.0.1.255")));
    CHECK_FALSE(list.contains(address("192.0.3.0")));
    CHECK(list.contains(address("10.1.2.4")));
    CHECK(list.contains(address("10.1.2.7")));
    CHECK_FALSE(list.contains(address("10.1.2.3")));
    CHECK_FALSE(list.contains(address("10.1.2.8")));
    CHECK(list.contains(address("2001:db8:1::")));
    CHECK(list.contains(address("2001:db8:1:ffff:ffff:ffff:ffff:ffff")));
    CHECK_FALSE(list.contains(address("2001:db8:2::")));
    CHECK_FALSE(list.contains(address("2001:db8:0:ffff:ffff:ffff:ffff:ffff")));
    CHECK(list.contains(address("febf::1")));
    CHECK_FALSE(list.contains(address("fec0::1")));
}

TEST_CASE("a prefix longer than 64 bits looks at the lower half too", "[cidr_list]") {
    const CidrList list = list_of({"2001:db8::1:0/112", "2001:db8:0:0:8000::/65"});

    CHECK(list.contains(address("2001:db8::1:ffff")));
    CHECK_FALSE(list.contains(address("2001:db8::2:0")));
    CHECK(list.contains(address("2001:db8:0:0:ffff::1")));
    CHECK_FALSE(list.contains(address("2001:db8:0:0:7fff::1")));
}

TEST_CASE("an address alone contains itself only", "[cidr_list]") {
    const CidrList list = list_of({"192.0.2.7", "2001:db8::7"});

    CHECK(list.contains(address("192.0.2.7")));
    CHECK_FALSE(list.contains(address("192.0.2.6")));
    CHECK(list.contains(address("2001:db8::7")));
    CHECK_FALSE(list.contains(address("2001:db8::6")));
}

TEST_CASE("a prefix of length 0 is all of its own family", "[cidr_list]") {
    CHECK(list_of({"0.0.0.0/0"}).contains(address("255.255.255.255")));
    CHECK_FALSE(list_of({"0.0.0.0/0"}).contains(address("::1")));
    CHECK(list_of({"::/0"}).contains(address("ffff::1")));
    CHECK_FALSE(list_of({"::/0"}).contains(address("192.0.2.1")));
}

TEST_CASE("an IPv4-mapped address is the IPv4 address", "[cidr_list]") {
    CHECK(list_of({"192.0.2.0/24"}).contains(address("::ffff:192.0.2.1")));
    CHECK_FALSE(list_of({"::/0"}).contains(address("::ffff:192.0.2.1")));
}

TEST_CASE("no address is in no list", "[cidr_list]") {
    CHECK_FALSE(list_of({"0.0.0.0/0", "::/0"}).contains(SocketAddress()));
    CHECK_FALSE(CidrList().contains(address("192.0.2.1")));
    CHECK(CidrList().empty());
}

TEST_CASE("the longest prefix is told, as it was written", "[cidr_list]") {
    const CidrList list = list_of({"192.0.0.0/16", "192.0.2.0/24", "192.0.2.7", "192.0.2.7/32"});

    CHECK(list.find(address("192.0.2.7")) == "192.0.2.7");
    CHECK(list.find(address("192.0.2.8")) == "192.0.2.0/24");
    CHECK(list.find(address("192.0.3.8")) == "192.0.0.0/16");
    CHECK(list.find(address("192.1.3.8")).empty());
    CHECK(list.texts() == std::vector<std::string>{"192.0.0.0/16", "192.0.2.0/24", "192.0.2.7"});
}

TEST_CASE("errors say what is wrong and what is meant or allowed", "[cidr_list]") {
    CHECK(error_of("192.0.2.1/24") ==
          "'192.0.2.1/24' has bits set behind the prefix, did you mean '192.0.2.0/24' or "
          "'192.0.2.1/32'?");
    CHECK(error_of("2001:db8::1/32") ==
          "'2001:db8::1/32' has bits set behind the prefix, did you mean '2001:db8::/32' or "
          "'2001:db8::1/128'?");
    CHECK(error_of("example.org") ==
          "'example.org' is no address, an address or a prefix such as \"192.0.2.0/24\" or "
          "\"2001:db8::/32\" is allowed");
    CHECK(error_of("192.0.2.0/33") ==
          "'192.0.2.0/33' has no length of prefix from 0 to 32 behind the '/', an address or a "
          "prefix such as \"192.0.2.0/24\" or \"2001:db8::/32\" is allowed");
    CHECK(error_of("::ffff:192.0.2.1") ==
          "'::ffff:192.0.2.1' is an IPv4 address in the form of an IPv6 one, such clients are IPv4 "
          "here, an address or a prefix such as \"192.0.2.0/24\" or \"2001:db8::/32\" is allowed");
}

TEST_CASE("what is no prefix is refused", "[cidr_list]") {
    for (const char* text : {"", "/", "/24", "192.0.2.0/", "192.0.2.0/ 24", "192.0.2.0/-1",
                             "192.0.2.0/024", "192.0.2/24", "[2001:db8::]/32", "2001:db8::/129",
                             "192.0.2.0/24/24", "192.0.2.0/+8", "192.0.2.0:80", "*"})
        CHECK(error_of(text) != "none");
}

TEST_CASE("thousands of prefixes are found each", "[cidr_list]") {
    std::vector<std::string> texts;
    for (int i = 0; i < 250; i++)
        for (int j = 0; j < 20; j++)
            texts.push_back(fmt::format("10.{}.{}.0/24", i, j * 2));
    const CidrList list = list_of(texts);

    CHECK(list.texts().size() == 5000);
    CHECK(list.contains(address("10.249.38.1")));
    CHECK(list.contains(address("10.0.0.1")));
    CHECK_FALSE(list.contains(address("10.249.39.1")));
    CHECK_FALSE(list.contains(address("10.250.0.1")));
}
