// SPDX-License-Identifier: MIT
#include "proxyd/session_events.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace proxyd {

void SessionEvents::on_access_line(std::string_view json) {
    if (!sink_.has_room_for_events()) {
        lost_++;
        return;
    }
    if (lost_ > 0)
        sink_.emit_event({{"event", {{"event", "lost"}, {"count", std::exchange(lost_, 0)}}}});
    nlohmann::json event = nlohmann::json::parse(json, nullptr, false);
    if (!event.is_object()) return;
    event["event"] = "session";
    sink_.emit_event({{"event", std::move(event)}});
}

}  // namespace proxyd
