// SPDX-License-Identifier: MIT
#include "tcpshim/dns_answer.h"

#include "tests/unit/catch.h"

#include <string>

using namespace proxyd;
using namespace proxyd::shim;
using namespace std::string_literals;

namespace {

const std::string Question = "\x03nas\x03lan\x00"s;

std::string u16(size_t value) {
    return {static_cast<char>(value >> 8), static_cast<char>(value)};
}

// Everybody's name is a pointer to the question's (RFC 1035 section 4.1.4).
std::string record(uint16_t type, uint32_t ttl, const std::string& content) {
    return "\xc0\x0c"s + u16(type) + u16(1) + u16(ttl >> 16) + u16(ttl & 0xffff) +
           u16(content.size()) + content;
}

std::string answer(const std::vector<std::string>& records, uint16_t type = 1) {
    std::string message = "\x12\x34\x81\x80"s + u16(1) + u16(records.size()) + u16(0) + u16(0) +
                          Question + u16(type) + u16(1);
    for (const std::string& one : records)
        message += one;
    return message;
}

std::optional<DnsRecords> read(const std::string& message, DnsType type = DnsType::Ipv4) {
    return read_dns_answer({reinterpret_cast<const uint8_t*>(message.data()), message.size()},
                           type);
}

SocketAddress address(std::string_view text) {
    return *SocketAddress::parse_host(text, 0);
}

const std::string Alias = record(5, 20, "\x01x\xc0\x0c"s);

}  // namespace

TEST_CASE("dns answer: has all addresses in their order, and the least time to live",
          "[dns_answer]") {
    const auto records = read(
        answer({Alias, record(1, 300, "\xc0\x00\x02\x01"s), record(1, 60, "\xc0\x00\x02\x02"s)}));
    REQUIRE(records);
    CHECK(records->addresses == std::vector{address("192.0.2.1"), address("192.0.2.2")});
    CHECK(records->ttl_seconds == 20);
}

TEST_CASE("dns answer: has IPv6 addresses, and none of another type", "[dns_answer]") {
    const std::string ipv6 = "\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\x01";
    const auto records =
        read(answer({record(28, 300, ipv6), record(1, 60, "\xc0\x00\x02\x02"s)}), DnsType::Ipv6);
    REQUIRE(records);
    CHECK(records->addresses == std::vector{address("2001:db8::1")});
}

TEST_CASE("dns answer: has services, whose targets may be pointers and are lower-cased",
          "[dns_answer]") {
    const auto records =
        read(answer({record(33, 9, u16(1) + u16(2) + u16(8443) + "\x03ONE\xc0\x0c"s),
                     record(33, 9, u16(0) + u16(0) + u16(443) + "\x00"s),  // not there
                     record(33, 9,
                            u16(0) + u16(0) + u16(443) +
                                "\x03"
                                "a b\x00"s)},  // no host's name
                    33),
             DnsType::Service);
    REQUIRE(records);
    REQUIRE(records->services.size() == 1);
    CHECK(records->services[0] ==
          ServiceRecord{.priority = 1, .weight = 2, .port = 8443, .host = "one.nas.lan"});
}

TEST_CASE("dns answer: cut off anywhere it is malformed", "[dns_answer]") {
    const std::string whole =
        answer({Alias, record(33, 300, u16(1) + u16(2) + u16(8443) + "\x03one\xc0\x0c"s)}, 33);
    CHECK(read(whole, DnsType::Service));
    for (size_t bytes = 0; bytes < whole.size(); bytes++)
        CHECK_FALSE(read(whole.substr(0, bytes), DnsType::Service));
}

TEST_CASE("dns answer: a record of the wrong size, or with a name that never ends, is malformed",
          "[dns_answer]") {
    CHECK_FALSE(read(answer({record(1, 300, "\xc0\x00\x02"s)})));
    CHECK_FALSE(read(answer({record(1, 300, "\xc0\x00\x02\x01\x00"s)})));
    CHECK_FALSE(read(answer({record(28, 300, "\xc0\x00\x02\x01"s)}, 28), DnsType::Ipv6));
    CHECK_FALSE(read(answer({record(33, 9, u16(1) + u16(2))}, 33), DnsType::Service));
    CHECK_FALSE(read(answer({record(33, 9, u16(1) + u16(2) + u16(3))}, 33), DnsType::Service));
    // A pointer to itself: its place is 12 of header, 13 of question, 12 of record, 6 of content.
    CHECK_FALSE(read(answer({record(33, 9, u16(1) + u16(2) + u16(3) + "\xc0\x2b"s)}, 33),
                     DnsType::Service));
}

TEST_CASE("dns answer: no more records than there is room for", "[dns_answer]") {
    const std::vector<std::string> most(DnsRecordsMax, record(1, 300, "\xc0\x00\x02\x01"s));
    std::vector<std::string> more = most;
    more.push_back(record(1, 300, "\xc0\x00\x02\x02"s));
    CHECK(read(answer(most))->addresses.size() == DnsRecordsMax);
    CHECK(read(answer(more))->addresses == read(answer(most))->addresses);
}

TEST_CASE("dns answer: a time to live with the highest bit set is none", "[dns_answer]") {
    CHECK(read(answer({record(1, 0x7fffffff, "\xc0\x00\x02\x01"s)}))->ttl_seconds == 0x7fffffff);
    CHECK(read(answer({record(1, 0x80000000, "\xc0\x00\x02\x01"s)}))->ttl_seconds == 0);
}

TEST_CASE("dns answer: without records it is empty", "[dns_answer]") {
    const auto records = read(answer({}));
    REQUIRE(records);
    CHECK(records->empty());
    CHECK(records->ttl_seconds == 0);
}
