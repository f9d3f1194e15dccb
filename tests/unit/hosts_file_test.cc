// SPDX-License-Identifier: MIT
#include "tcpshim/hosts_file.h"

#include "tests/unit/catch.h"

using namespace proxyd;
using namespace proxyd::shim;

namespace {

SocketAddress address(std::string_view text) {
    return *SocketAddress::parse_host(text, 0);
}

}  // namespace

TEST_CASE("hosts file: has all addresses of a name, whatever its case", "[hosts_file]") {
    const HostsFile file(
        "# comment\n"
        "192.0.2.1\tnas.lan  NAS # the first\r\n"
        "2001:db8::1 nas.lan\n"
        "\n"
        "192.0.2.1 nas.lan\n"
        "nonsense nas.lan\n"
        "fe80::1%eth0 nas.lan\n"
        "192.0.2.2 other");
    REQUIRE(file.find("nas.lan"));
    CHECK(*file.find("nas.lan") == std::vector{address("192.0.2.1"), address("2001:db8::1")});
    REQUIRE(file.find("nas"));
    CHECK(*file.find("nas") == std::vector{address("192.0.2.1")});
    CHECK(*file.find("other") == std::vector{address("192.0.2.2")});
    CHECK(file.find("the") == nullptr);
    CHECK(file.find("") == nullptr);
}

TEST_CASE("hosts file: one that isn't there has no names", "[hosts_file]") {
    CHECK(HostsFile::load("/nonexistent/hosts").find("localhost") == nullptr);
    CHECK(HostsFile("").find("localhost") == nullptr);
    CHECK(HostsFile("\n").find("localhost") == nullptr);
}
