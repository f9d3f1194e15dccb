// SPDX-License-Identifier: MIT
#include "proxyd/control_desk.h"

#include "base/daemon/log.h"
#include "base/daemon/socket_file.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

namespace proxyd {
namespace {

constexpr std::string_view NoControl = "none";
constexpr auto RetryInterval = std::chrono::seconds(1);

uint64_t key_of(const WorkerProcess& worker) {
    return static_cast<uint64_t>(worker.pid());
}

nlohmann::json event(std::string_view kind) {
    std::string time;
    append_time(time);
    return {{"event", kind}, {"time", time}};
}

void answer_task(const ControlReply& reply, std::string_view what, const Problems& problems) {
    if (problems.empty()) return reply.done();
    reply.fail(fmt::format("{} failed, everything goes on as before", what), problems);
}

std::string known_levels() {
    std::string words;
    for (size_t i = 0; i < LogLevelCount; i++)
        words += (words.empty() ? "" : ", ") + std::string(log_level_word(LogLevel(i)));
    return words;
}

}  // namespace

ControlDesk::ControlDesk(EventLoop& loop, Owner& owner)
    : owner_(owner), commands_(loop, *this), socket_(loop, commands_), retry_(loop, *this) {}

Problems ControlDesk::open_next(const Configuration& next) {
    give_next_up();
    if (next.daemon.control == NoControl || next.daemon.control == path_) return {};
    auto listening = listen_at_socket_file(next.daemon.control, SocketFileGroup::Own);
    if (listening) {
        next_listening_ = *std::move(listening);
        next_path_ = next.daemon.control;
        return {};
    }
    if (!next.daemon.control_place.empty())
        return {fmt::format("{}: cannot listen at {}: {}", next.daemon.control_place,
                            next.daemon.control, listening.error())};
    // Another proxyd that still finishes its sessions, as a rule.
    is_next_to_be_tried_ = listening.error() == SocketFileTaken;
    log_warning("there is no control socket: cannot listen at {}: {}{}", next.daemon.control,
                listening.error(), is_next_to_be_tried_ ? "; proxyd tries again each second" : "");
    return {};
}

void ControlDesk::put_next_in_force(const Configuration& in_force) {
    if (in_force.daemon.control == path_) return;
    close();
    path_ = std::exchange(next_path_, "");
    socket_.listen_on(std::exchange(next_listening_, UniqueFd()));
    if (!std::exchange(is_next_to_be_tried_, false)) return;
    path_to_try_ = in_force.daemon.control;
    retry_.start(RetryInterval);
}

void ControlDesk::give_next_up() {
    if (next_listening_.is_open()) remove_own_socket_file(next_path_);
    next_listening_.close();
    next_path_.clear();
    is_next_to_be_tried_ = false;
}

void ControlDesk::close() {
    if (!path_.empty()) remove_own_socket_file(path_);
    path_.clear();
    socket_.listen_on({});
    retry_.stop();
}

void ControlDesk::on_retry() noexcept {
    auto listening = listen_at_socket_file(path_to_try_, SocketFileGroup::Own);
    if (!listening) return retry_.start(RetryInterval);
    path_ = path_to_try_;
    socket_.listen_on(*std::move(listening));
    log_notice("the control socket is there now: {}", path_);
}

void ControlDesk::pass_on(StateToPass& state) const {
    if (path_.empty()) return;
    state.control_path = path_;
    state.control_socket = socket_.listening();
    state.control_streams = socket_.streams();
    state.control_idle = socket_.idle_clients();
    for (const ControlReply& reply : upgrade_replies_)
        if (const auto client = reply.client()) state.control_clients.push_back(*client);
}

void ControlDesk::leave_alone(const std::string& path) {
    path_ = path;
}

void ControlDesk::adopt(InheritedState& inherited) {
    path_ = inherited.control_path;
    socket_.listen_on(std::move(inherited.control_socket));
    if (!inherited.control_streams.empty()) commands_.expect_events();
    for (UniqueFd& client : inherited.control_streams)
        socket_.adopt_stream(std::move(client));
    for (UniqueFd& client : inherited.control_idle)
        socket_.adopt_idle(std::move(client));
    for (UniqueFd& client : inherited.control_clients)
        upgrade_replies_.push_back(socket_.adopt(std::move(client)));
}

void ControlDesk::on_worker_message(const WorkerProcess& worker, const nlohmann::json& message) {
    if (message.contains("report")) {
        commands_.on_worker_report(key_of(worker), message);
    } else if (message.contains("event")) {
        const std::string text = ControlCommands::worker_event(message);
        if (!text.empty()) socket_.publish(text);
    }
}

void ControlDesk::on_worker_serving(WorkerProcess& worker) {
    if (commands_.wants_events()) worker.channel().send({{"do", "events"}, {"on", true}});
    nlohmann::json told = event("worker");
    told["worker"] = worker.index();
    told["pid"] = worker.pid();
    told["state"] = "serving";
    publish(told);
}

void ControlDesk::on_worker_ended(const WorkerProcess& worker) {
    commands_.on_worker_gone(key_of(worker));
}

void ControlDesk::on_worker_lost(const WorkerProcess& worker, const std::string& how) {
    nlohmann::json told = event("worker");
    told["worker"] = worker.index();
    told["pid"] = worker.pid();
    told["state"] = "lost";
    told["reason"] = how;
    publish(told);
}

void ControlDesk::on_task_end(std::string_view what, uint64_t generation,
                              const Problems& problems) {
    if (what == "reload") last_reload_ = {problems.empty(), Clock::now(), problems};
    nlohmann::json told = event(what);
    told["ok"] = problems.empty();
    told["generation"] = generation;
    told["version"] = PROXYD_VERSION;
    if (!problems.empty()) told["problems"] = problems;
    publish(told);
    if (what != "upgrade") return;
    for (const ControlReply& reply : std::exchange(upgrade_replies_, {}))
        answer_task(reply, what, problems);
}

void ControlDesk::publish(const nlohmann::json& told) {
    socket_.publish(told.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void ControlDesk::answer_status(const ControlReply& reply) {
    StatusReport status = owner_.status_report();
    if (last_reload_) status.last_reload = &*last_reload_;
    status.log_level = log_level_word(log_level());
    reply.item(status_json(status, Clock::now()));
    reply.done();
}

void ControlDesk::answer_reload(const ControlReply& reply) {
    log_notice("reload asked for by {}", reply.client_text());
    owner_.reload([this, reply](const Problems& problems) {
        if (!problems.empty()) return answer_task(reply, "reload", problems);
        const std::vector<std::string> warnings = owner_.warnings();
        if (warnings.empty()) return reply.done();
        reply.done({{"warnings", warnings}});
    });
}

// Answered by on_task_end, of this program or of the next one.
void ControlDesk::answer_upgrade(const ControlReply& reply) {
    log_notice("upgrade asked for by {}", reply.client_text());
    upgrade_replies_.push_back(reply);
    owner_.upgrade({});
}

void ControlDesk::answer_log_level(const std::optional<std::string>& level,
                                   const ControlReply& reply) {
    if (level) {
        const auto wanted = log_level_of(*level);
        if (!wanted)
            return reply.fail(
                fmt::format("there is no such log level, but there are {}", known_levels()));
        log_notice("log level {} asked for by {}", *level, reply.client_text());
        set_log_level(*wanted);
        for (const auto& worker : owner_.worker_processes())
            worker->channel().send({{"do", "log_level"}, {"level", *level}});
    }
    reply.item({{"level", log_level_word(log_level())}});
    reply.done();
}

void ControlDesk::answer_metrics(const ControlReply& reply) {
    reply.item({{"text", owner_.metrics_text()}});
    reply.done();
}

std::vector<uint64_t> ControlDesk::workers() {
    std::vector<uint64_t> keys;
    for (const auto& worker : owner_.worker_processes())
        if (owner_.is_serving(*worker)) keys.push_back(key_of(*worker));
    // What they have in hand is to be seen, too.
    for (const auto& worker : owner_.worker_processes())
        if (worker->state() == WorkerProcess::State::Draining) keys.push_back(key_of(*worker));
    return keys;
}

bool ControlDesk::send_to_worker(uint64_t key, const nlohmann::json& message) {
    for (const auto& worker : owner_.worker_processes())
        if (key_of(*worker) == key) return worker->channel().send(message);
    return false;
}

}  // namespace proxyd
