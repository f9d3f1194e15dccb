// SPDX-License-Identifier: MIT
//
// The supervisor at the control socket: what it answers itself, and how the socket comes and goes
// with configurations and programs.
#include "base/daemon/log.h"
#include "proxyd/status_report.h"
#include "proxyd/supervisor.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace proxyd {
namespace {

constexpr std::string_view NoControl = "none";

using State = WorkerProcess::State;

std::string_view state_word(State state) {
    switch (state) {
        case State::Starting:
        case State::Ready:
            return "starting";
        case State::Serving:
            return "serving";
        case State::Draining:
            return "draining";
    }
    return "?";
}

uint64_t key_of(const WorkerProcess& worker) {
    return static_cast<uint64_t>(worker.pid());
}

nlohmann::json event(std::string_view kind) {
    std::string time;
    append_time(time);
    return {{"event", kind}, {"time", time}};
}

}  // namespace

// The socket of the next configuration, if it is another one. Where the default place can't be had,
// proxyd does without; where one was asked for, that is a problem.
Problems Supervisor::open_next_control() {
    const Configuration& next = next_->configuration;
    if (is_trial_ || next.control == NoControl || next.control == control_path_) return {};
    auto listening = ControlSocket::listen_at(next.control);
    if (listening) {
        next_control_ = *std::move(listening);
        return {};
    }
    if (!next.control_place.empty())
        return {fmt::format("{}: cannot listen at {}: {}", next.control_place, next.control,
                            listening.error())};
    log_notice("without a control socket: cannot listen at {}: {}", next.control,
               listening.error());
    return {};
}

void Supervisor::put_next_control_in_force() {
    const std::string& path = current_->configuration.control;
    if (path == control_path_ || is_trial_) return;
    remove_control();
    const bool is_open = next_control_.is_open();
    control_.listen_on(std::exchange(next_control_, UniqueFd()));
    control_path_ = is_open ? path : "";
}

void Supervisor::give_next_control_up() {
    if (!next_control_.is_open()) return;
    remove_control_socket(next_->configuration.control);
    next_control_.close();
}

void Supervisor::remove_control() {
    if (!control_path_.empty()) remove_control_socket(control_path_);
    control_path_.clear();
}

void Supervisor::adopt_control(InheritedControl& inherited) {
    control_path_ = inherited.path;
    control_.listen_on(std::move(inherited.listening));
    for (UniqueFd& client : inherited.streams)
        control_.adopt_stream(std::move(client));
    if (!inherited.streams.empty()) control_commands_.expect_events();
    for (UniqueFd& client : inherited.upgrade_clients)
        upgrade_replies_.push_back(control_.adopt(std::move(client)));
}

ControlToPass Supervisor::control_to_pass() const {
    ControlToPass control{control_path_, control_.listening(), control_.streams(), {}};
    for (const ControlReply& reply : upgrade_replies_)
        if (const auto client = reply.client()) control.upgrade_clients.push_back(*client);
    return control;
}

void Supervisor::tell_of_task(std::string_view what, const Problems& problems) {
    last_task_ = {problems.empty(), Clock::now(), problems};
    nlohmann::json told = event(what);
    told["ok"] = problems.empty();
    told["generation"] = current_ ? current_->number : 0;
    if (!problems.empty()) told["problems"] = problems;
    if (what == "upgrade") told["version"] = PROXYD_VERSION;
    control_.publish(told.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    if (what != "upgrade") return;
    for (const ControlReply& reply : std::exchange(upgrade_replies_, {}))
        answer(reply, what, problems);
}

void Supervisor::tell_of_worker(const WorkerProcess& worker, std::string_view state,
                                const std::string& reason) {
    nlohmann::json told = event("worker");
    told["worker"] = worker.index();
    told["pid"] = worker.pid();
    told["state"] = state;
    if (!reason.empty()) told["reason"] = reason;
    control_.publish(told.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void Supervisor::answer(const ControlReply& reply, std::string_view what,
                        const Problems& problems) {
    if (problems.empty()) return reply.done();
    reply.fail(fmt::format("{} failed, everything goes on as before", what), problems);
}

void Supervisor::answer_reload(const ControlReply& reply) {
    log_notice("reload asked for by {}", reply.client_text());
    reload([this, reply](const Problems& problems) { answer(reply, "reload", problems); });
}

void Supervisor::answer_upgrade(const ControlReply& reply) {
    log_notice("upgrade asked for by {}", reply.client_text());
    upgrade_replies_.push_back(reply);
    upgrade({});
}

void Supervisor::answer_status(const ControlReply& reply) {
    StatusReport status;
    const Clock::time_point now = Clock::now();
    status.uptime = now - started_at_;
    status.configuration_age = now - current_since_;
    if (current_) {
        status.generation = current_->number;
        status.configuration = &current_->configuration;
        for (const ListeningAddress& listening : current_->addresses)
            status.listeners.push_back(listening.address);
    }
    if (last_task_) status.last_reload = &*last_task_;
    status.restarts = restarts_;
    for (const auto& worker : workers_)
        status.workers.push_back({worker->index(), worker->pid(), worker->generation(),
                                  state_word(worker->state()), now - worker->started_at(),
                                  counts_of(*worker)});
    reply.item(status_json(status, now));
    reply.done();
}

void Supervisor::answer_log_level(const std::optional<std::string>&, const ControlReply& reply) {
    reply.fail("not there yet");
}

void Supervisor::answer_metrics(const ControlReply& reply) {
    reply.fail("not there yet");
}

std::optional<StatusReport::WorkerCounts> Supervisor::counts_of(const WorkerProcess&) const {
    return std::nullopt;
}

std::vector<uint64_t> Supervisor::workers() {
    std::vector<uint64_t> keys;
    for (const auto& worker : workers_)
        if (current_ && worker->generation() == current_->number &&
            worker->state() == State::Serving)
            keys.push_back(key_of(*worker));
    return keys;
}

bool Supervisor::send_to_worker(uint64_t key, const nlohmann::json& message) {
    for (const auto& worker : workers_)
        if (key_of(*worker) == key) return worker->channel().send(message);
    return false;
}

// Whether it was a message for whoever asks over the control socket.
bool Supervisor::on_control_message(const WorkerProcess& worker, const nlohmann::json& message) {
    if (message.contains("report")) {
        control_commands_.on_worker_report(key_of(worker), message);
        return true;
    }
    if (!message.contains("event")) return false;
    const std::string text = ControlCommands::worker_event(message);
    if (!text.empty()) control_.publish(text);
    return true;
}

void Supervisor::tell_worker_of_events(WorkerProcess& worker) {
    if (control_commands_.wants_events()) worker.channel().send({{"do", "events"}, {"on", true}});
}

}  // namespace proxyd
