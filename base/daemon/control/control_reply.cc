// SPDX-License-Identifier: MIT
#include "base/daemon/control/control_socket.h"
#include "base/daemon/log.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <nlohmann/json.hpp>

namespace proxyd {
namespace {

// "ok" stands first, whatever else is in it.
template <typename Json>
std::string text_of(const Json& value) {
    return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

ControlConnection* ControlReply::waiting() const {
    if (socket_ == nullptr) return nullptr;
    const auto found = socket_->connections_.find(connection_);
    if (found == socket_->connections_.end()) return nullptr;
    ControlConnection* const connection = found->second.get();
    const bool waits = connection->is_answering() && connection->request_number() == request_;
    return waits ? connection : nullptr;
}

bool ControlReply::is_wanted() const {
    return waiting() != nullptr;
}

bool ControlReply::item(const nlohmann::json& object) const {
    return is_wanted() && item_text(text_of(object));
}

bool ControlReply::item_text(std::string_view object) const {
    ControlConnection* const connection = waiting();
    return connection != nullptr && connection->add_item(object);
}

void ControlReply::done() const {
    if (ControlConnection* const connection = waiting()) connection->finish("{\"ok\":true}");
}

void ControlReply::done(const nlohmann::json& fields) const {
    nlohmann::ordered_json end = {{"ok", true}};
    for (const auto& [key, value] : fields.items())
        end[key] = value;
    if (ControlConnection* const connection = waiting()) connection->finish(text_of(end));
}

void ControlReply::fail(std::string_view error) const {
    if (ControlConnection* const connection = waiting()) connection->finish(control_error(error));
}

void ControlReply::fail(std::string_view error, const std::vector<std::string>& details) const {
    const nlohmann::ordered_json end = {{"ok", false}, {"error", error}, {"details", details}};
    if (ControlConnection* const connection = waiting()) connection->finish(text_of(end));
}

void ControlReply::stream() const {
    ControlConnection* const connection = waiting();
    if (connection == nullptr) return;
    socket_->make_stream(*connection);
    std::string time;
    append_time(time);
    connection->add_event(text_of(nlohmann::json{{"time", time}, {"event", "subscribed"}}));
}

std::optional<BorrowedFd> ControlReply::client() const {
    const ControlConnection* const connection = waiting();
    if (connection == nullptr || connection->has_output()) return std::nullopt;
    return connection->socket();
}

std::string ControlReply::client_text() const {
    const ControlConnection* const connection = waiting();
    ucred who{};
    socklen_t size = sizeof(who);
    if (connection == nullptr ||
        getsockopt(connection->socket().number(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0)
        return "somebody who has gone";
    return fmt::format("user {}, process {}", who.uid, who.pid);
}

}  // namespace proxyd
