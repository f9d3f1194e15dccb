// SPDX-License-Identifier: MIT
#include "tcpshim/access_line.h"

#include "base/daemon/access_fields.h"

#include <optional>

namespace proxyd::shim {
namespace {

std::optional<int64_t> if_any(int64_t microseconds) {
    if (microseconds < 0) return std::nullopt;
    return microseconds;
}

// In the order of the log, as access_fields.h has it.
template <typename Put>
void put_fields(const ConnectionRecord& record, Put&& put) {
    SocketAddress::Text client, destination, address;
    const bool has_address = record.backend_address.family() != AF_UNSPEC;
    put.text("id", record.id);
    put.text("client", record.client.format(client));
    put.text("listener", record.destination.format(destination));
    put.raw("name", record.name);
    put.path("site", record.site, "");
    put.number("port", record.port);
    put.path("backend", record.backend, "");
    put.text("address", has_address ? record.backend_address.format(address) : "");
    put.number("attempts", record.attempts);
    put.path("failed", record.failed, "");
    put.text("ending", ending_word(record.ending));
    put.text("cause",
             record.ending == Ending::NoBackend ? connect_failure_word(record.failure) : "");
    put.number("to_backend", static_cast<int64_t>(record.bytes_to_backend));
    put.number("to_client", static_cast<int64_t>(record.bytes_to_client));
    put.number("connect_us", if_any(record.connect_us));
    put.number("first_to_backend_us", if_any(record.first_to_backend_us));
    put.number("first_to_client_us", if_any(record.first_to_client_us));
    put.number("total_us", if_any(record.total_us));
}

}  // namespace

void append_text_line(std::string& out, std::string_view time, const ConnectionRecord& record) {
    out.append(time).append(time.empty() ? "access" : " access");
    put_fields(record, TextFields(out));
    out += '\n';
}

void append_json_line(std::string& out, std::string_view time, const ConnectionRecord& record) {
    out.append("{\"time\":\"").append(time).append("\"");
    put_fields(record, JsonFields(out));
    out += "}\n";
}

void append_journal_entry(std::string& out, std::string_view message,
                          const ConnectionRecord& record) {
    out.append("MESSAGE=").append(message);
    out += "\nPRIORITY=6\nSYSLOG_IDENTIFIER=tcpshim\n";
    put_fields(record, JournalFields(out, "TCPSHIM_"));
}

}  // namespace proxyd::shim
