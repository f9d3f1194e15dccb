// SPDX-License-Identifier: MIT
//
// What the access log says of one session, in its three forms: a line of text, a line of JSON, and
// an entry of the systemd journal. The fields and their order stand here once, for all of them;
// docs/CONFIGURATION.md describes them. Used by access_log.
#pragma once

#include "base/posix/socket_address.h"
#include "proxyd/hello.h"
#include "proxyd/statistics.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace proxyd {

// Strings that are empty stand for nothing; `name` may hold anything, `alpn` is as
// AlpnList::append_to has it.
struct AccessRecord {
    std::string_view id;
    SocketAddress client;
    SocketAddress listener;
    Protocol protocol = Protocol::Unknown;
    std::string_view name;
    std::string_view alpn;
    std::string_view route;
    std::string_view site_directory;
    std::string_view site_socket;  // file name in it
    Verdict verdict = Verdict::Closed;
    std::string_view reason;
    std::optional<int64_t> hello_us;
    std::optional<int64_t> handoff_us;
    bool has_waited_for_site = false;  // for the statistics only
};

// Each ends with a newline. `time` is as append_time has it.
void append_text_line(std::string& out, std::string_view time, const AccessRecord& record);
void append_json_line(std::string& out, std::string_view time, const AccessRecord& record);

// In the journal's native protocol, with `message` (one line, without its end) and a field of its
// own, PROXYD_..., for each field that there is.
void append_journal_entry(std::string& out, std::string_view message, const AccessRecord& record);

}  // namespace proxyd
