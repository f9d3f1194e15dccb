// SPDX-License-Identifier: MIT
#include "proxyd/access_line.h"

#include "tests/unit/catch.h"

using namespace proxyd;
using namespace std::string_literals;

namespace {

constexpr std::string_view Time = "2026-01-31T23:59:59.123456Z";

AccessRecord full_record() {
    AccessRecord record;
    record.id = "00000001-00000002";
    record.client = *SocketAddress::parse_host("192.0.2.7", 51880);
    record.listener = *SocketAddress::parse_host("2001:db8::1", 443);
    record.protocol = Protocol::Tls;
    record.name = "a b\"\n";
    record.alpn = "h2,http/1.1";
    record.route = "blog.example.org";
    record.site_directory = "/run/proxyd/sites/bl\"og";
    record.site_socket = "443.sock";
    record.verdict = Verdict::HandedOver;
    record.reason = "exact_name";
    record.hello_us = 19;
    record.handoff_us = 166;
    return record;
}

AccessRecord empty_record() {
    AccessRecord record;
    record.id = "00000001-00000002";
    record.verdict = Verdict::Closed;
    record.reason = "client_closed";
    return record;
}

}  // namespace

TEST_CASE("access_line: all fields as text", "[access_line]") {
    std::string line;
    append_text_line(line, Time, full_record());
    CHECK(line ==
          "2026-01-31T23:59:59.123456Z access id=00000001-00000002 client=192.0.2.7:51880 "
          "listener=[2001:db8::1]:443 protocol=tls name=a\\x20b\\x22\\x0a alpn=h2,http/1.1 "
          "route=blog.example.org site=/run/proxyd/sites/bl\\x22og/443.sock verdict=handed_over "
          "reason=exact_name hello_us=19 handoff_us=166\n");
}

TEST_CASE("access_line: nothing as text", "[access_line]") {
    std::string line;
    append_text_line(line, Time, empty_record());
    CHECK(line ==
          "2026-01-31T23:59:59.123456Z access id=00000001-00000002 client=- listener=- "
          "protocol=- name=- alpn=- route=- site=- verdict=closed reason=client_closed "
          "hello_us=- handoff_us=-\n");
}

TEST_CASE("access_line: all fields as JSON", "[access_line]") {
    std::string line;
    append_json_line(line, Time, full_record());
    CHECK(line == R"({"time":"2026-01-31T23:59:59.123456Z","id":"00000001-00000002",)"
                  R"("client":"192.0.2.7:51880","listener":"[2001:db8::1]:443","protocol":"tls",)"
                  R"("name":"a\\x20b\\x22\\x0a","alpn":"h2,http/1.1","route":"blog.example.org",)"
                  R"("site":"/run/proxyd/sites/bl\"og/443.sock","verdict":"handed_over",)"
                  R"("reason":"exact_name","hello_us":19,"handoff_us":166})"
                  "\n");
}

TEST_CASE("access_line: nothing as JSON", "[access_line]") {
    std::string line;
    append_json_line(line, Time, empty_record());
    CHECK(line == R"({"time":"2026-01-31T23:59:59.123456Z","id":"00000001-00000002",)"
                  R"("client":null,"listener":null,"protocol":null,"name":null,"alpn":null,)"
                  R"("route":null,"site":null,"verdict":"closed","reason":"client_closed",)"
                  R"("hello_us":null,"handoff_us":null})"
                  "\n");
}

TEST_CASE("access_line: JSON stays UTF-8 whatever a path holds", "[access_line]") {
    AccessRecord record = empty_record();
    record.site_directory = "/sites/b\xc3\xbc\xff\x01";
    std::string line;
    append_json_line(line, Time, record);
    CHECK(line.find("\"site\":\"/sites/b\xc3\xbc\xef\xbf\xbd\\u0001\"") != line.npos);
}

TEST_CASE("access_line: a journal entry has a field for all that is there", "[access_line]") {
    std::string entry;
    append_journal_entry(entry, "what happened", full_record());
    CHECK(entry ==
          "MESSAGE=what happened\nPRIORITY=6\nSYSLOG_IDENTIFIER=proxyd\n"
          "PROXYD_ID=00000001-00000002\nPROXYD_CLIENT=192.0.2.7:51880\n"
          "PROXYD_LISTENER=[2001:db8::1]:443\nPROXYD_PROTOCOL=tls\n"
          "PROXYD_NAME=a\\x20b\\x22\\x0a\nPROXYD_ALPN=h2,http/1.1\n"
          "PROXYD_ROUTE=blog.example.org\n"
          "PROXYD_SITE=/run/proxyd/sites/bl\\x22og/443.sock\n"
          "PROXYD_VERDICT=handed_over\nPROXYD_REASON=exact_name\n"
          "PROXYD_HELLO_US=19\nPROXYD_HANDOFF_US=166\n");

    entry.clear();
    append_journal_entry(entry, "what happened", empty_record());
    CHECK(entry ==
          "MESSAGE=what happened\nPRIORITY=6\nSYSLOG_IDENTIFIER=proxyd\n"
          "PROXYD_ID=00000001-00000002\nPROXYD_VERDICT=closed\n"
          "PROXYD_REASON=client_closed\n");
}

TEST_CASE("access_line: a \"-\" that a client chose is not taken for nothing", "[access_line]") {
    AccessRecord record = empty_record();
    record.name = record.alpn = record.route = "-";
    std::string text, json, entry;
    append_text_line(text, Time, record);
    append_json_line(json, Time, record);
    append_journal_entry(entry, "what happened", record);

    CHECK(text.find(" name=\\x2d alpn=\\x2d route=\\x2d site=- ") != text.npos);
    CHECK(json.find(R"("name":"-","alpn":"-","route":"-","site":null,)") != json.npos);
    CHECK(entry.find("PROXYD_NAME=-\nPROXYD_ALPN=-\nPROXYD_ROUTE=-\nPROXYD_VERDICT=") !=
          entry.npos);
}

TEST_CASE("access_line: application protocols are escaped once", "[access_line]") {
    AccessRecord record = empty_record();
    record.alpn = "h2\\x2cb,c";
    std::string text, json, entry;
    append_text_line(text, Time, record);
    append_json_line(json, Time, record);
    append_journal_entry(entry, "what happened", record);

    CHECK(text.find(" alpn=h2\\x2cb,c ") != text.npos);
    CHECK(json.find(R"("alpn":"h2\\x2cb,c")") != json.npos);
    CHECK(entry.find("\nPROXYD_ALPN=h2\\x2cb,c\n") != entry.npos);
}
