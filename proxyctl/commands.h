// SPDX-License-Identifier: MIT
//
// What each command does: its exit code. Used by the table of commands (invocation.cc).
#pragma once

#include "base/daemon/control/control_client.h"
#include "proxyctl/invocation.h"

#include <functional>

namespace proxyd {

int run_status(const Invocation& invocation);
int run_sites(const Invocation& invocation);
int run_sessions(const Invocation& invocation);
int run_routes(const Invocation& invocation);
int run_explain(const Invocation& invocation);
int run_events(const Invocation& invocation);
int run_backends(const Invocation& invocation);
int run_reload(const Invocation& invocation);
int run_upgrade(const Invocation& invocation);
int run_log_level(const Invocation& invocation);
int run_metrics(const Invocation& invocation);
int run_site_add(const Invocation& invocation);
int run_site_list(const Invocation& invocation);

// Asks, and has each item shown, or printed as it is with --json; says what went wrong.
// `shown_at_end` gets the last line of an answer that is fine.
int ask_and_show(const Invocation& invocation, Json request,
                 const std::function<void(const Json&)>& show,
                 const std::function<void(const Json&)>& shown_at_end = {},
                 std::chrono::seconds wait_time = ControlClient::AnswerTime);

// The same for answers that come in pages.
int ask_for_all_pages(const Invocation& invocation, Json request,
                      const std::function<void(const Json&)>& show);

// The number that an option gives. Nothing: it is none from `least` to `most`, and that was said.
std::optional<uint64_t> number_option(const Invocation& invocation, std::string_view name,
                                      uint64_t least, uint64_t most, uint64_t otherwise);

}  // namespace proxyd
