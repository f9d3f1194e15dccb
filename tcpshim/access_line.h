// SPDX-License-Identifier: MIT
//
// What the access log says of one relayed connection: a line of text, of JSON, or an entry of the
// systemd journal. The fields and their order stand here once; docs/TCPSHIM.md describes them.
#pragma once

#include "tcpshim/connection_record.h"

#include <string>
#include <string_view>

namespace proxyd::shim {

// Each ends with a newline. `time` is as append_time has it.
void append_text_line(std::string& out, std::string_view time, const ConnectionRecord& record);
void append_json_line(std::string& out, std::string_view time, const ConnectionRecord& record);

// In the journal's native protocol, with `message` (one line, without its end) and a field of its
// own, TCPSHIM_..., for each field that there is.
void append_journal_entry(std::string& out, std::string_view message,
                          const ConnectionRecord& record);

}  // namespace proxyd::shim
