// SPDX-License-Identifier: MIT
#include "proxyctl/commands.h"
#include "proxyctl/text.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdio>

namespace proxyd {
namespace {

void print_raw(const Json& object) {
    fmt::print("{}\n", object.dump(-1, ' ', false, Json::error_handler_t::replace));
}

int tell_of_failure(const Invocation& invocation, const Json& end) {
    if (invocation.is_json()) print_raw(end);
    complain(SystemRefused, text_at(end, "error"));
    const auto details = end.find("details");
    if (details != end.end() && details->is_array())
        for (const Json& detail : *details)
            if (detail.is_string())
                fmt::print(stderr, "{}\n", printable_text(detail.get_ref<const std::string&>()));
    return SystemRefused;
}

void tell_of_gaps(const Json& end) {
    if (const uint64_t omitted = number_at(end, "omitted"); omitted > 0)
        fmt::print(stderr, "proxyctl: {} more are not shown\n", omitted);
    if (const uint64_t silent = number_at(end, "workers_silent"); silent > 0)
        fmt::print(stderr, "proxyctl: {} of the workers have not answered\n", silent);
}

// The last line of the answer, or an exit code.
Result<Json, int> ask_once(const Invocation& invocation, ControlClient& client, const Json& request,
                           const std::function<void(const Json&)>& show) {
    const auto end = client.ask(request, [&](const Json& item) {
        if (invocation.is_json())
            print_raw(item);
        else
            show(item);
        return true;
    });
    if (!end) return Unexpected{complain(SystemRefused, end.error())};
    if (!flag_at(*end, "ok")) return Unexpected{tell_of_failure(invocation, *end)};
    tell_of_gaps(*end);
    return *end;
}

}  // namespace

int complain(ExitCode code, std::string_view text) {
    fflush(stdout);
    fmt::print(stderr, "proxyctl: {}\n", text);
    return code;
}

int ask_and_show(const Invocation& invocation, Json request,
                 const std::function<void(const Json&)>& show,
                 const std::function<void(const Json&)>& shown_at_end) {
    auto client = ControlClient::connect_to(invocation.control());
    if (!client) return complain(SystemRefused, client.error());
    const auto end = ask_once(invocation, *client, request, show);
    if (!end) return end.error();
    if (shown_at_end && !invocation.is_json()) shown_at_end(*end);
    return Fine;
}

int ask_for_all_pages(const Invocation& invocation, Json request,
                      const std::function<void(const Json&)>& show) {
    auto client = ControlClient::connect_to(invocation.control());
    if (!client) return complain(SystemRefused, client.error());
    for (;;) {
        const auto end = ask_once(invocation, *client, request, show);
        if (!end) return end.error();
        const auto next = end->find("next");
        if (next == end->end() || !next->is_string()) return Fine;
        request["page"] = *next;
    }
}

std::optional<uint64_t> number_option(const Invocation& invocation, std::string_view name,
                                      uint64_t least, uint64_t most, uint64_t otherwise) {
    if (!invocation.line.has(name)) return otherwise;
    const std::string_view text = invocation.line.last(name, "");
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size() && number >= least &&
        number <= most)
        return number;
    complain(WrongUse, fmt::format("--{} {}: a whole number from {} to {} is allowed", name, text,
                                   least, most));
    return std::nullopt;
}

}  // namespace proxyd
