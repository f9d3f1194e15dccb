// SPDX-License-Identifier: MIT
#include "proxyd/access_line.h"

#include "base/daemon/log.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

namespace proxyd {
namespace {

// Calls put.text(key, value) for words and addresses, put.raw(...) for what clients chose,
// put.escaped(...) for what is escaped already, put.path(...) and put.number(...), in the order of
// the log. Empty values stand for nothing, and so does a "-" that is no client's choice.
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

bool is_nothing(std::string_view text) {
    return text.empty() || text == "-";
}

void append_path(std::string& out, std::string_view directory, std::string_view file) {
    append_escaped(out, directory);
    if (file.empty()) return;
    out += '/';
    append_escaped(out, file);
}

class PutText {
  public:
    explicit PutText(std::string& out) : out_(out) {}

    void text(std::string_view key, std::string_view value) {
        begin(key);
        append_escaped(out_, value.empty() ? "-" : value);
    }
    void raw(std::string_view key, std::string_view value) { path(key, value, ""); }
    // A "-" alone would be taken for nothing.
    void escaped(std::string_view key, std::string_view value) {
        begin(key);
        out_ += value.empty() ? "-" : value == "-" ? "\\x2d" : value;
    }
    void path(std::string_view key, std::string_view directory, std::string_view file) {
        if (directory.empty() || directory == "-") return escaped(key, directory);
        begin(key);
        append_path(out_, directory, file);
    }
    void number(std::string_view key, std::optional<int64_t> value) {
        if (value)
            fmt::format_to(std::back_inserter(out_), " {}={}", key, *value);
        else
            text(key, "");
    }

  private:
    void begin(std::string_view key) { out_.append(" ").append(key).append("="); }

    std::string& out_;
};

// Nearly all strings need no escaping; the library knows how to do the others.
void append_json_string(std::string& out, std::string_view text) {
    const bool is_plain = std::all_of(text.begin(), text.end(), [](char c) {
        return c >= ' ' && c <= '~' && c != '"' && c != '\\';
    });
    if (is_plain)
        out.append("\"").append(text).append("\"");
    else
        out += nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

class PutJson {
  public:
    explicit PutJson(std::string& out) : out_(out) {}

    void text(std::string_view key, std::string_view value) {
        escaped(key, is_nothing(value) ? "" : value);
    }
    // A name may be any bytes, and JSON text is UTF-8: so it is escaped as in the text log.
    void raw(std::string_view key, std::string_view value) {
        scratch_.clear();
        append_escaped(scratch_, value);
        escaped(key, scratch_);
    }
    void escaped(std::string_view key, std::string_view value) {
        begin(key);
        if (value.empty())
            out_ += "null";
        else
            append_json_string(out_, value);
    }
    void path(std::string_view key, std::string_view directory, std::string_view file) {
        scratch_ = directory;
        if (!file.empty()) scratch_.append("/").append(file);
        escaped(key, scratch_);
    }
    void number(std::string_view key, std::optional<int64_t> value) {
        begin(key);
        if (value)
            fmt::format_to(std::back_inserter(out_), "{}", *value);
        else
            out_ += "null";
    }

  private:
    void begin(std::string_view key) { out_.append(",\"").append(key).append("\":"); }

    std::string& out_;
    std::string scratch_;
};

// "KEY=value\n" for values without a newline, which escaping sees to
// (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/).
class PutJournal {
  public:
    explicit PutJournal(std::string& out) : out_(out) {}

    void text(std::string_view key, std::string_view value) {
        if (!is_nothing(value)) raw(key, value);
    }
    void raw(std::string_view key, std::string_view value) { path(key, value, ""); }
    void escaped(std::string_view key, std::string_view value) {
        if (value.empty()) return;
        begin(key);
        out_.append(value).append("\n");
    }
    void path(std::string_view key, std::string_view directory, std::string_view file) {
        if (directory.empty()) return;
        begin(key);
        append_path(out_, directory, file);
        out_ += '\n';
    }
    void number(std::string_view key, std::optional<int64_t> value) {
        if (!value) return;
        begin(key);
        fmt::format_to(std::back_inserter(out_), "{}\n", *value);
    }

  private:
    void begin(std::string_view key) {
        out_ += "PROXYD_";
        for (const char c : key)
            out_ += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
        out_ += '=';
    }

    std::string& out_;
};

}  // namespace

void append_text_line(std::string& out, std::string_view time, const AccessRecord& record) {
    out.append(time).append(time.empty() ? "access" : " access");
    put_fields(record, PutText(out));
    out += '\n';
}

void append_json_line(std::string& out, std::string_view time, const AccessRecord& record) {
    out.append("{\"time\":\"").append(time).append("\"");
    put_fields(record, PutJson(out));
    out += "}\n";
}

void append_journal_entry(std::string& out, std::string_view message, const AccessRecord& record) {
    out.append("MESSAGE=").append(message);
    out += "\nPRIORITY=6\nSYSLOG_IDENTIFIER=proxyd\n";
    put_fields(record, PutJournal(out));
}

}  // namespace proxyd
