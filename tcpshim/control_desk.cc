// SPDX-License-Identifier: MIT
#include "tcpshim/control_desk.h"

#include "base/daemon/socket_file.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

namespace proxyd::shim {
namespace {

constexpr std::string_view NoControl = "none";

std::string text_of(const nlohmann::json& request, const char* key) {
    const auto found = request.find(key);
    return found != request.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

std::vector<std::string> ControlDesk::open_next(const DaemonConfiguration& next) {
    give_next_up();
    if (next.control == NoControl || next.control == path_) return {};
    auto listening = listen_at_socket_file(next.control, SocketFileGroup::Own);
    if (listening) {
        next_listening_ = *std::move(listening);
        next_path_ = next.control;
        return {};
    }
    if (!next.control_place.empty())
        return {fmt::format("{}: cannot listen at {}: {}", next.control_place, next.control,
                            listening.error())};
    log_warning("there is no control socket: cannot listen at {}: {}", next.control,
                listening.error());
    return {};
}

void ControlDesk::put_next_in_force(const DaemonConfiguration& in_force) {
    if (in_force.control == path_) return;
    close();
    path_ = std::exchange(next_path_, "");
    socket_.listen_on(std::exchange(next_listening_, UniqueFd()));
}

void ControlDesk::give_next_up() {
    if (next_listening_.is_open()) remove_own_socket_file(next_path_);
    next_listening_.close();
    next_path_.clear();
}

void ControlDesk::close() {
    if (!path_.empty()) remove_own_socket_file(path_);
    path_.clear();
    socket_.listen_on({});
}

void ControlDesk::on_request(const ControlReply& reply, const nlohmann::json& request) {
    const std::string command = text_of(request, "do");
    if (command == "status") {
        reply.item(status_json(owner_.status(), owner_.totals()));
        reply.done();
    } else if (command == "backends") {
        for (const nlohmann::json& backend :
             backends_json(owner_.totals(), text_of(request, "match")))
            reply.item(backend);
        reply.done();
    } else if (command == "metrics") {
        reply.item({{"text", owner_.metrics_text()}});
        reply.done();
    } else if (command == "log-level") {
        answer_log_level(reply, request);
    } else if (command == "reload") {
        log_notice("reload asked for over the control socket by {}", reply.client_text());
        owner_.reload([reply](const std::vector<std::string>& problems) {
            if (problems.empty()) return reply.done();
            reply.fail("reload failed, everything goes on as before", problems);
        });
    } else {
        reply.fail(fmt::format(
            "tcpshim has no command '{}': there are status, backends, metrics, reload, log-level",
            command));
    }
}

void ControlDesk::answer_log_level(const ControlReply& reply, const nlohmann::json& request) {
    if (request.contains("level")) {
        const std::string word = text_of(request, "level");
        const auto level = log_level_of(word);
        if (!level)
            return reply.fail(fmt::format(
                "'{}' is no level: there are error, warning, notice, info, debug", word));
        owner_.set_level(*level);
        log_notice("log level set to {} by {}", word, reply.client_text());
    }
    reply.item({{"level", log_level_word(log_level())}});
    reply.done();
}

}  // namespace proxyd::shim
