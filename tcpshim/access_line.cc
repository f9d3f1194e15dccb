// SPDX-License-Identifier: MIT
#include "tcpshim/access_line.h"

#include "base/daemon/log.h"

#include <fmt/format.h>

#include <iterator>
#include <nlohmann/json.hpp>

namespace proxyd::shim {
namespace {

// Calls put.text(key, value) for texts of any origin, "" for none, and put.number(key, value), -1
// for none, in the order of the log.
template <typename Put>
void put_fields(const ConnectionRecord& record, Put&& put) {
    SocketAddress::Text client, destination, address;
    const bool has_address = record.backend_address.family() != AF_UNSPEC;
    put.text("id", record.id);
    put.text("client", record.client.format(client));
    put.text("listener", record.destination.format(destination));
    put.text("name", record.name);
    put.text("site", record.site);
    put.number("port", record.port);
    put.text("backend", record.backend);
    put.text("address", has_address ? record.backend_address.format(address) : "");
    put.number("attempts", record.attempts);
    put.text("ending", ending_word(record.ending));
    put.text("cause",
             record.ending == Ending::NoBackend ? connect_failure_word(record.failure) : "");
    put.number("to_backend", static_cast<int64_t>(record.bytes_to_backend));
    put.number("to_client", static_cast<int64_t>(record.bytes_to_client));
    put.number("connect_us", record.connect_us);
    put.number("first_to_backend_us", record.first_to_backend_us);
    put.number("first_to_client_us", record.first_to_client_us);
    put.number("total_us", record.total_us);
}

class PutText {
  public:
    explicit PutText(std::string& out) : out_(out) {}

    // A "-" alone would be taken for nothing.
    void text(std::string_view key, std::string_view value) {
        out_.append(" ").append(key).append("=");
        if (value == "-")
            out_ += "\\x2d";
        else
            append_escaped(out_, value.empty() ? "-" : value);
    }
    void number(std::string_view key, int64_t value) {
        if (value < 0) return text(key, "");
        fmt::format_to(std::back_inserter(out_), " {}={}", key, value);
    }

  private:
    std::string& out_;
};

class PutJson {
  public:
    explicit PutJson(std::string& out) : out_(out) {}

    // Names may be any bytes, and JSON text is UTF-8: so they are escaped as in the text log.
    void text(std::string_view key, std::string_view value) {
        out_.append(",\"").append(key).append("\":");
        if (value.empty()) {
            out_ += "null";
            return;
        }
        scratch_.clear();
        append_escaped(scratch_, value);
        out_ += nlohmann::json(scratch_).dump();
    }
    void number(std::string_view key, int64_t value) {
        if (value < 0) return text(key, "");
        fmt::format_to(std::back_inserter(out_), ",\"{}\":{}", key, value);
    }

  private:
    std::string& out_;
    std::string scratch_;
};

// "KEY=value\n" for values without a newline, which escaping sees to
// (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/).
class PutJournal {
  public:
    explicit PutJournal(std::string& out) : out_(out) {}

    void text(std::string_view key, std::string_view value) {
        if (value.empty()) return;
        begin(key);
        append_escaped(out_, value);
        out_ += '\n';
    }
    void number(std::string_view key, int64_t value) {
        if (value < 0) return;
        begin(key);
        fmt::format_to(std::back_inserter(out_), "{}\n", value);
    }

  private:
    void begin(std::string_view key) {
        out_ += "TCPSHIM_";
        for (const char c : key)
            out_ += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
        out_ += '=';
    }

    std::string& out_;
};

}  // namespace

void append_text_line(std::string& out, std::string_view time, const ConnectionRecord& record) {
    out.append(time).append(time.empty() ? "access" : " access");
    put_fields(record, PutText(out));
    out += '\n';
}

void append_json_line(std::string& out, std::string_view time, const ConnectionRecord& record) {
    out.append("{\"time\":\"").append(time).append("\"");
    put_fields(record, PutJson(out));
    out += "}\n";
}

void append_journal_entry(std::string& out, std::string_view message,
                          const ConnectionRecord& record) {
    out.append("MESSAGE=").append(message);
    out += "\nPRIORITY=6\nSYSLOG_IDENTIFIER=tcpshim\n";
    put_fields(record, PutJournal(out));
}

}  // namespace proxyd::shim
