// SPDX-License-Identifier: MIT
//
// Follows events until it is interrupted, has seen enough of them, or proxyd ends.
#include "proxyctl/commands.h"
#include "proxyctl/show.h"

#include <fmt/format.h>

#include <cstdio>
#include <limits>

namespace proxyd {
namespace {

// False if nobody reads it any more.
bool print_event(const Json& event, bool is_json) {
    const std::string text =
        is_json ? event.dump(-1, ' ', false, Json::error_handler_t::replace) : show_event(event);
    fmt::print("{}\n", text);
    return fflush(stdout) == 0;
}

}  // namespace

int run_events(const Invocation& invocation) {
    constexpr uint64_t Endless = std::numeric_limits<uint64_t>::max();
    const auto count = number_option(invocation, "count", 1, 1'000'000'000, Endless);
    if (!count) return WrongUse;
    auto client = ControlClient::connect_to(invocation.control());
    if (!client) return complain(SystemRefused, client.error());
    client->wait_at_most(std::chrono::seconds(0));  // for ever
    uint64_t left = *count;
    const auto end = client->ask({{"do", "events"}}, [&](const Json& event) {
        // Not an event of its own: from here on none is missed.
        const bool is_start = text_at(event, "event") == "subscribed";
        if (is_start && !invocation.is_json()) return true;
        if (!print_event(event, invocation.is_json())) return false;
        if (!is_start) left--;
        return left > 0;
    });
    if (!end) return complain(SystemRefused, end.error());
    if (end->contains("ok")) return complain(SystemRefused, text_at(*end, "error"));
    return Fine;
}

}  // namespace proxyd
