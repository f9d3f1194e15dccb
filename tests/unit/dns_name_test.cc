// SPDX-License-Identifier: MIT
#include "base/handoff/dns_name.h"

#include "tests/unit/catch.h"

#include <string>

namespace proxyd {
namespace {

// What parsing gives: the name, or the flaw's word.
std::string parsed(std::string_view text) {
    const auto name = DnsName::parse(text);
    return std::string(name ? name->view() : name_flaw_word(name.error()));
}

std::string name_of_bytes(size_t size) {
    std::string name;
    while (name.size() < size)
        name += name.size() % 50 == 49 ? '.' : 'a';
    return name;
}

TEST_CASE("takes a name as it is", "[dns_name]") {
    CHECK(parsed("blog.example.org") == "blog.example.org");
    CHECK(parsed("localhost") == "localhost");
    CHECK(parsed("a") == "a");
    CHECK(parsed("_acme-challenge.x--y.example") == "_acme-challenge.x--y.example");
    CHECK(parsed("-.-") == "-.-");
    CHECK(parsed("3com.example.1a") == "3com.example.1a");
    CHECK(parsed("xn--bcher-kva.example") == "xn--bcher-kva.example");
}

TEST_CASE("lower-cases a name", "[dns_name]") {
    CHECK(parsed("BLOG.Example.ORG") == "blog.example.org");
    CHECK(parsed("AZaz09") == "azaz09");
}

TEST_CASE("takes one trailing dot away, and no second one", "[dns_name]") {
    CHECK(parsed("example.org.") == "example.org");
    CHECK(parsed("example.org..") == "name_has_empty_label");
}

TEST_CASE("an empty name is none, nor is the root", "[dns_name]") {
    CHECK(parsed("") == "name_empty");
    CHECK(parsed(".") == "name_empty");
    CHECK(parsed("..") == "name_has_empty_label");
}

TEST_CASE("a name has at most 253 bytes, less a trailing dot", "[dns_name]") {
    CHECK(parsed(name_of_bytes(253)) == name_of_bytes(253));
    CHECK(parsed(name_of_bytes(253) + ".") == name_of_bytes(253));
    CHECK(parsed(name_of_bytes(254)) == "name_too_long");
    CHECK(parsed(name_of_bytes(253) + "..") == "name_too_long");
    CHECK(parsed(std::string(65535, 'a')) == "name_too_long");
}

TEST_CASE("a label has at most 63 bytes", "[dns_name]") {
    const std::string longest(63, 'a'), too_long(64, 'a');
    CHECK(parsed(longest) == longest);
    CHECK(parsed("b." + longest + ".c") == "b." + longest + ".c");
    CHECK(parsed(too_long) == "name_label_too_long");
    CHECK(parsed("b." + too_long + ".c") == "name_label_too_long");
    CHECK(parsed("b." + too_long) == "name_label_too_long");
}

TEST_CASE("no label is empty", "[dns_name]") {
    CHECK(parsed(".example.org") == "name_has_empty_label");
    CHECK(parsed("example..org") == "name_has_empty_label");
    CHECK(parsed("..") == "name_has_empty_label");
}

TEST_CASE("every byte but letters, digits, hyphen, underscore and dot is forbidden", "[dns_name]") {
    const std::string_view allowed =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    for (int byte = 0; byte < 256; byte++) {
        const char c = static_cast<char>(byte);
        CAPTURE(byte);
        const auto name = DnsName::parse(std::string("a") + c + "b");
        CHECK(name.has_value() == (allowed.find(c) != allowed.npos));
        if (!name) CHECK(name.error() == NameFlaw::ForbiddenCharacter);
    }
}

TEST_CASE("a name never becomes a path", "[dns_name]") {
    CHECK(parsed("../etc") == "name_has_empty_label");
    CHECK(parsed("a/../b") == "name_has_forbidden_character");
    CHECK(parsed(std::string_view("a\0.example.org", 14)) == "name_has_forbidden_character");
    CHECK(parsed("*.example.org") == "name_has_forbidden_character");
    CHECK(parsed("@ssh") == "name_has_forbidden_character");
    CHECK(parsed("b\xc3\xbc"
                 "cher.example") == "name_has_forbidden_character");
}

TEST_CASE("an IPv4 address is no name, however it is written", "[dns_name]") {
    CHECK(parsed("192.0.2.1") == "name_is_ip_literal");
    CHECK(parsed("192.0.2.1.") == "name_is_ip_literal");
    CHECK(parsed("127.1") == "name_is_ip_literal");
    CHECK(parsed("2130706433") == "name_is_ip_literal");
    CHECK(parsed("0x7f000001") == "name_is_ip_literal");
    CHECK(parsed("0X7F.1") == "name_is_ip_literal");
    CHECK(parsed("1.2.3.0xfF") == "name_is_ip_literal");
    CHECK(parsed("example.0x") == "name_is_ip_literal");
    CHECK(parsed("example.42") == "name_is_ip_literal");
}

TEST_CASE("a number elsewhere than at the end is a label", "[dns_name]") {
    CHECK(parsed("1.2.3.4.example") == "1.2.3.4.example");
    CHECK(parsed("0x7f.example") == "0x7f.example");
    CHECK(parsed("example.0xg") == "example.0xg");
    CHECK(parsed("example.x0") == "example.x0");
}

TEST_CASE("an IPv6 address is no name, with and without brackets", "[dns_name]") {
    CHECK(parsed("::1") == "name_is_ip_literal");
    CHECK(parsed("[2001:db8::1]") == "name_is_ip_literal");
    CHECK(parsed("[2001:db8::1") == "name_has_forbidden_character");
    CHECK(parsed("[]") == "name_has_forbidden_character");
    CHECK(parsed("[") == "name_has_forbidden_character");
    CHECK(parsed("fe80::1%eth0") == "name_has_forbidden_character");
}

TEST_CASE("names are equal when their text is", "[dns_name]") {
    CHECK(*DnsName::parse("Example.org.") == *DnsName::parse("example.ORG"));
    CHECK_FALSE(*DnsName::parse("example.org") == *DnsName::parse("example.or"));
}

}  // namespace
}  // namespace proxyd
