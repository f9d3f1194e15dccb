// SPDX-License-Identifier: MIT
#include "tcpshim/access_line.h"
#include "tests/unit/catch.h"

using namespace proxyd::shim;
using proxyd::SocketAddress;

namespace {

ConnectionRecord relayed() {
    ConnectionRecord record;
    record.site = "nas";
    record.port = 443;
    record.client = *SocketAddress::parse_host("192.0.2.7", 50000);
    record.destination = *SocketAddress::parse_host("2001:db8::1", 443);
    record.name = "nas.example.org";
    record.id = "68a3f1";
    record.backend = "nas.lan:443";
    record.backend_address = *SocketAddress::parse_host("10.0.0.7", 443);
    record.attempts = 2;
    record.failed = "old nas.lan:443/timed_out";
    record.bytes_to_backend = 517;
    record.bytes_to_client = 5'000'000'000;
    record.connect_us = 812;
    record.first_to_backend_us = 830;
    record.first_to_client_us = 1'950;
    record.total_us = 60'000'000;
    record.ending = Ending::ClientClosed;
    return record;
}

}  // namespace

TEST_CASE("tcpshim's access line: a relayed connection as text", "[tcpshim_access_line]") {
    std::string line;
    append_text_line(line, "T", relayed());

    CHECK(line ==
          "T access id=68a3f1 client=192.0.2.7:50000 listener=[2001:db8::1]:443 "
          "name=nas.example.org site=nas port=443 backend=nas.lan:443 address=10.0.0.7:443 "
          "attempts=2 failed=old\\x20nas.lan:443/timed_out ending=client_closed cause=- "
          "to_backend=517 to_client=5000000000 "
          "connect_us=812 first_to_backend_us=830 first_to_client_us=1950 total_us=60000000\n");
}

TEST_CASE("tcpshim's access line: a client without a backend as JSON", "[tcpshim_access_line]") {
    ConnectionRecord record = relayed();
    record.name = record.id = record.backend = record.failed = "";
    record.backend_address = {};
    record.bytes_to_client = 0;
    record.connect_us = record.first_to_backend_us = record.first_to_client_us = -1;
    record.ending = Ending::NoBackend;
    record.failure = ConnectFailure::TimedOut;
    std::string line;
    append_json_line(line, "T", record);

    CHECK(
        line ==
        R"({"time":"T","id":null,"client":"192.0.2.7:50000","listener":"[2001:db8::1]:443",)"
        R"("name":null,"site":"nas","port":443,"backend":null,"address":null,"attempts":2,"failed":null,)"
        R"("ending":"no_backend","cause":"timed_out","to_backend":517,"to_client":0,)"
        R"("connect_us":null,"first_to_backend_us":null,"first_to_client_us":null,)"
        R"("total_us":60000000})"
        "\n");
}

TEST_CASE("tcpshim's access line: an entry of the journal has fields of its own",
          "[tcpshim_access_line]") {
    ConnectionRecord record = relayed();
    record.name = "a\nb";
    std::string entry;
    append_journal_entry(entry, "words", record);

    CHECK(
        entry.starts_with("MESSAGE=words\nPRIORITY=6\nSYSLOG_IDENTIFIER=tcpshim\n"
                          "TCPSHIM_ID=68a3f1\nTCPSHIM_CLIENT=192.0.2.7:50000\n"));
    CHECK(entry.find("TCPSHIM_NAME=a\\x0ab\n") != std::string::npos);
    CHECK(entry.find("TCPSHIM_CAUSE") == std::string::npos);
    CHECK(entry.ends_with("TCPSHIM_TOTAL_US=60000000\n"));
}
