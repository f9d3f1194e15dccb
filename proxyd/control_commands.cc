// SPDX-License-Identifier: MIT
#include "proxyd/control_commands.h"

#include "base/daemon/configuration/configuration_values.h"
#include "base/posix/socket_address.h"
#include "proxyd/hello.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <span>

namespace proxyd {
namespace {

enum class FieldType { Text, TextList, Address, Protocol, Port, Count };

struct Field {
    std::string_view key;
    FieldType type;
};

struct CommandFields {
    std::string_view command;
    std::span<const Field> fields;
};

constexpr size_t TextBytesMax = 4096;
constexpr size_t ListSizeMax = 64;

constexpr std::array<Field, 3> PageFields = {{
    {"match", FieldType::Text},
    {"page", FieldType::Text},
    {"limit", FieldType::Count},
}};
constexpr std::array<Field, 1> SessionFields = {{{"limit", FieldType::Count}}};
constexpr std::array<Field, 6> ExplainFields = {{
    {"name", FieldType::Text},
    {"port", FieldType::Port},
    {"listener", FieldType::Text},
    {"alpn", FieldType::TextList},
    {"from", FieldType::Address},
    {"protocol", FieldType::Protocol},
}};
constexpr std::array<Field, 1> LogLevelFields = {{{"level", FieldType::Text}}};

constexpr std::array<CommandFields, 10> Commands = {{
    {"status", {}},
    {"sites", PageFields},
    {"sessions", SessionFields},
    {"routes", PageFields},
    {"explain", ExplainFields},
    {"events", {}},
    {"reload", {}},
    {"upgrade", {}},
    {"log-level", LogLevelFields},
    {"metrics", {}},
}};

// A site costs the worker that looks at it some system calls, so they come in small portions.
struct Limits {
    std::string_view command;
    size_t usual;
    size_t most;
};
constexpr std::array<Limits, 5> ReportLimits = {{
    {"sites", 100, 500},
    {"sessions", 1000, 10'000},
    {"routes", 1000, 5000},
    {"explain", 1, 1},
    {"events", 1, 1},
}};

bool is_text(const nlohmann::json& value) {
    return value.is_string() && value.get_ref<const std::string&>().size() <= TextBytesMax;
}

std::string_view wanted(FieldType type) {
    switch (type) {
        case FieldType::Text:
            return "a string";
        case FieldType::TextList:
            return "an array of strings";
        case FieldType::Address:
            return "an IP address";
        case FieldType::Protocol:
            return "one of tls, http, h2, ssh, silent, other";
        case FieldType::Port:
            return "a whole number from 1 to 65535";
        case FieldType::Count:
            return "a whole number from 1";
    }
    return "";
}

bool is_right(const nlohmann::json& value, FieldType type) {
    switch (type) {
        case FieldType::Text:
            return is_text(value);
        case FieldType::TextList:
            return value.is_array() && value.size() <= ListSizeMax &&
                   std::ranges::all_of(value, is_text);
        case FieldType::Address:
            return is_text(value) && SocketAddress::parse_host(value.get<std::string>(), 0);
        case FieldType::Protocol:
            return is_text(value) && protocol_of_word(value.get<std::string>());
        case FieldType::Port:
            return value.is_number_unsigned() && value.get<uint64_t>() >= 1 &&
                   value.get<uint64_t>() <= 65535;
        case FieldType::Count:
            return value.is_number_unsigned() && value.get<uint64_t>() >= 1;
    }
    return false;
}

std::string unknown_key(std::string_view key, const CommandFields& command) {
    std::vector<std::string_view> known = {"do"};
    for (const Field& field : command.fields)
        known.push_back(field.key);
    return fmt::format("'{}' is not a key of {}, {}", printable(key), command.command,
                       hint(key, known));
}

}  // namespace

std::string problem_with_request(const nlohmann::json& request) {
    const auto given = request.find("do");
    if (given == request.end() || !given->is_string())
        return "\"do\" is missing, the name of a command is needed";
    const auto& name = given->get_ref<const std::string&>();
    const auto* command = std::ranges::find(Commands, name, &CommandFields::command);
    if (command == Commands.end()) {
        std::vector<std::string_view> known;
        for (const CommandFields& each : Commands)
            known.push_back(each.command);
        // There is a second socket to ask, and it is the likelier one here.
        if (name == "backends")
            return "'backends' is a command of tcpshim: proxyctl --control SOCKET backends; for "
                   "routes to TCP servers SOCKET is /run/proxyd/tcpshim.sock unless the "
                   "configuration says otherwise ('proxyctl status' shows it)";
        return fmt::format("'{}' is not a command, {}", printable(name), hint(name, known));
    }
    for (const auto& [key, value] : request.items()) {
        if (key == "do") continue;
        const auto field = std::ranges::find(command->fields, key, &Field::key);
        if (field == command->fields.end()) return unknown_key(key, *command);
        if (!is_right(value, field->type))
            return fmt::format("\"{}\" is wrong, {} is allowed", key, wanted(field->type));
    }
    return "";
}

ControlCommands::ControlCommands(EventLoop& loop, ControlOperations& operations)
    : operations_(operations), reports_(loop, operations) {}

void ControlCommands::on_worker_report(uint64_t worker, const nlohmann::json& message) {
    reports_.on_message(worker, message);
}

// A worker tells of its sessions, and of nothing else.
std::string ControlCommands::worker_event(const nlohmann::json& message) {
    const auto event = message.find("event");
    if (event == message.end() || !event->is_object()) return "";
    const std::string kind = text_field(*event, "event");
    if (kind != "session" && kind != "lost") return "";
    return event->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void ControlCommands::on_worker_gone(uint64_t worker) {
    reports_.on_worker_gone(worker);
}

void ControlCommands::on_request(const ControlReply& reply, const nlohmann::json& request) {
    const std::string problem = problem_with_request(request);
    if (!problem.empty()) return reply.fail(problem);
    run(request["do"].get_ref<const std::string&>(), request, reply);
}

void ControlCommands::run(std::string_view command, const nlohmann::json& request,
                          const ControlReply& reply) {
    if (command == "status") return operations_.answer_status(reply);
    if (command == "reload") return operations_.answer_reload(reply);
    if (command == "upgrade") return operations_.answer_upgrade(reply);
    if (command == "metrics") return operations_.answer_metrics(reply);
    if (command == "log-level") {
        const auto level = request.find("level");
        return operations_.answer_log_level(
            level == request.end() ? std::nullopt : std::optional(level->get<std::string>()),
            reply);
    }
    report(command, request, reply);
}

void ControlCommands::report(std::string_view what, const nlohmann::json& request,
                             const ControlReply& reply) {
    const auto* const limits = std::ranges::find(ReportLimits, what, &Limits::command);
    ReportRequest asked;
    asked.what = what;
    asked.limit = limits->usual;
    if (request.contains("limit"))
        asked.limit = std::min<uint64_t>(request["limit"].get<uint64_t>(), limits->most);
    for (const auto& [key, value] : request.items())
        if (key != "do" && key != "limit") asked.fields[key] = value;
    std::vector<uint64_t> workers = operations_.workers();
    // All of a generation have the same routes.
    if ((what == "routes" || what == "explain") && workers.size() > 1) workers.resize(1);
    if (what == "events") wants_events_ = true;
    reports_.ask(asked, workers, reply);
}

void ControlCommands::on_last_stream_gone() {
    if (!wants_events_ || reports_.is_asking("events")) return;
    wants_events_ = false;
    for (const uint64_t worker : operations_.workers())
        operations_.send_to_worker(worker, {{"do", "events"}, {"on", false}});
}

}  // namespace proxyd
