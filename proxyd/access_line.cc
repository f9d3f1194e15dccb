// SPDX-License-Identifier: MIT
#include "proxyd/access_line.h"

#include "base/daemon/access_fields.h"

namespace proxyd {
namespace {

// In the order of the log, as access_fields.h has it.
template <typename Put>
void put_fields(const AccessRecord& record, Put&& put) {
    SocketAddress::Text client, listener;
    put.text("id", record.id);
    put.text("client", record.client.format(client));
    put.text("listener", record.listener.format(listener));
    put.text("protocol", protocol_word(record.protocol));
    put.raw("name", record.name);
    put.escaped("alpn", record.alpn);
    put.path("route", record.route, "");
    put.path("site", record.site_directory, record.site_socket);
    put.text("verdict", verdict_word(record.verdict));
    put.text("reason", record.reason);
    put.number("hello_us", record.hello_us);
    put.number("handoff_us", record.handoff_us);
}

}  // namespace

void append_text_line(std::string& out, std::string_view time, const AccessRecord& record) {
    out.append(time).append(time.empty() ? "access" : " access");
    put_fields(record, TextFields(out));
    out += '\n';
}

void append_json_line(std::string& out, std::string_view time, const AccessRecord& record) {
    out.append("{\"time\":\"").append(time).append("\"");
    put_fields(record, JsonFields(out));
    out += "}\n";
}

void append_journal_entry(std::string& out, std::string_view message, const AccessRecord& record) {
    out.append("MESSAGE=").append(message);
    out += "\nPRIORITY=6\nSYSLOG_IDENTIFIER=proxyd\n";
    put_fields(record, JournalFields(out, "PROXYD_"));
}

}  // namespace proxyd
