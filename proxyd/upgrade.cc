// SPDX-License-Identifier: MIT
#include "proxyd/upgrade.h"

#include "base/daemon/configuration/configuration_values.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>

namespace proxyd {
namespace {

// "<descriptor>,<process id>": the process is the one it is meant for.
constexpr const char* StateVariable = "PROXYD_INHERITED_STATE";
constexpr int StateVersion = 1;

void set_close_on_exec(BorrowedFd fd, bool on) {
    fcntl(fd.number(), F_SETFD, on ? FD_CLOEXEC : 0);
}

std::string address_text(const SocketAddress& address) {
    SocketAddress::Text text;
    return std::string(address.format(text));
}

// For a trial and for the new program itself.
std::vector<BorrowedFd> sockets_of(const StateToPass& state) {
    std::vector<BorrowedFd> sockets;
    for (const ListeningAddress& listening : state.addresses)
        for (const SharedSocket& socket : listening.sockets)
            sockets.push_back(*socket);
    for (const auto& socket : {state.metrics_socket, state.control_socket})
        if (socket) sockets.push_back(*socket);
    return sockets;
}

nlohmann::json number_or_null(std::optional<size_t> number) {
    return number ? nlohmann::json(*number) : nlohmann::json(nullptr);
}

nlohmann::json numbers_of(const std::vector<BorrowedFd>& descriptors) {
    nlohmann::json numbers = nlohmann::json::array();
    for (const BorrowedFd descriptor : descriptors)
        numbers.push_back(descriptor.number());
    return numbers;
}

nlohmann::json to_json(const StateToPass& state, bool is_trial) {
    nlohmann::json out = {{"version", StateVersion},
                          {"is_trial", is_trial},
                          {"configuration", state.configuration_text},
                          {"in_force", state.text_in_force},
                          {"generation", state.generation},
                          {"run_number", state.run_number},
                          {"listening", nlohmann::json::array()},
                          {"workers", nlohmann::json::array()}};
    for (const ListeningAddress& listening : state.addresses) {
        nlohmann::json sockets = nlohmann::json::array();
        for (const SharedSocket& socket : listening.sockets)
            sockets.push_back(socket->borrow().number());
        out["listening"].push_back({{"address", address_text(listening.requested)},
                                    {"is_passed", listening.is_passed},
                                    {"sockets", std::move(sockets)}});
    }
    out["metrics_address"] = state.metrics_address;
    if (state.metrics_socket) out["metrics_socket"] = state.metrics_socket->number();
    out["control_path"] = state.control_path;
    if (state.control_socket) out["control_socket"] = state.control_socket->number();
    // A trial can't be the parent of our workers, and counts nothing.
    if (is_trial) return out;
    out["counts"] = {{"started_at_us", state.counts.started_at_us},
                     {"reloads", state.counts.reloads},
                     {"reload_failures", state.counts.reload_failures},
                     {"upgrades", state.counts.upgrades},
                     {"upgrade_failures", state.counts.upgrade_failures},
                     {"worker_restarts", state.counts.worker_restarts}};
    out["statistics"] = state.statistics.number();
    out["relay"] = state.relay;
    out["relay_directory"] = state.relay_directory;
    out["leaving_relays"] = state.leaving_relays;
    out["control_streams"] = numbers_of(state.control_streams);
    out["control_clients"] = numbers_of(state.control_clients);
    out["control_idle"] = numbers_of(state.control_idle);
    for (const StateToPass::Worker& worker : state.workers)
        out["workers"].push_back({{"pid", worker.pid},
                                  {"index", worker.index},
                                  {"statistics_slot", number_or_null(worker.statistics_slot)},
                                  {"channel", worker.channel.number()},
                                  {"is_draining", worker.is_draining}});
    return out;
}

bool write_all(BorrowedFd file, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t size = write(file.number(), bytes.data(), bytes.size());
        if (size < 0) return false;
        bytes.remove_prefix(static_cast<size_t>(size));
    }
    return true;
}

std::string read_all(BorrowedFd file) {
    std::string text;
    std::array<char, 65536> buffer;
    for (ssize_t size; (size = pread(file.number(), buffer.data(), buffer.size(),
                                     static_cast<off_t>(text.size()))) > 0;)
        text.append(buffer.data(), static_cast<size_t>(size));
    return text;
}

Result<UniqueFd> write_state(const StateToPass& state, bool is_trial) {
    UniqueFd file = UniqueFd::adopt(memfd_create("proxyd-state", MFD_CLOEXEC));
    if (!file.is_open()) return Unexpected{Errno::last()};
    const std::string text =
        to_json(state, is_trial).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    if (!write_all(file, text)) return Unexpected{Errno::last()};
    return file;
}

// Returns only if it fails.
void execute(const Program& program, BorrowedFd state, pid_t pid) {
    std::vector<char*> arguments;
    for (const std::string& argument : program.arguments)
        arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    setenv(StateVariable, fmt::format("{},{}", state.number(), pid).c_str(), 1);
    execv(program.path.c_str(), arguments.data());
    const int saved_errno = errno;
    unsetenv(StateVariable);
    errno = saved_errno;
}

// Not open if there is no such thing.
UniqueFd adopt_descriptor(const nlohmann::json& entry, const char* key) {
    UniqueFd descriptor = UniqueFd::adopt(entry.value(key, -1));
    if (descriptor.is_open()) set_close_on_exec(descriptor, true);
    return descriptor;
}

std::vector<UniqueFd> adopt_descriptors(const nlohmann::json& entry, const char* key) {
    std::vector<UniqueFd> descriptors;
    for (const int number : entry.value(key, std::vector<int>())) {
        descriptors.push_back(UniqueFd::adopt(number));
        set_close_on_exec(descriptors.back(), true);
    }
    return descriptors;
}

ListeningAddress listening_from(const nlohmann::json& entry) {
    ListeningAddress listening;
    const auto addresses = parse_listen_address(entry.at("address").get<std::string>());
    if (addresses.size() == 1) listening.requested = addresses.front();
    for (const int fd : entry.at("sockets")) {
        UniqueFd socket = UniqueFd::adopt(fd);
        set_close_on_exec(socket, true);
        listening.sockets.push_back(std::make_shared<const UniqueFd>(std::move(socket)));
    }
    listening.is_listening = true;
    listening.is_passed = entry.value("is_passed", false);
    if (const auto local = SocketAddress::local_of(*listening.sockets.at(0)))
        listening.address = *local;
    return listening;
}

TaskCounts counts_from(const nlohmann::json& entry) {
    const auto count = [&](const char* key) { return entry.value(key, uint64_t{0}); };
    return {entry.value("started_at_us", int64_t{0}),
            count("reloads"),
            count("reload_failures"),
            count("upgrades"),
            count("upgrade_failures"),
            count("worker_restarts")};
}

InheritedState state_from(const nlohmann::json& in) {
    InheritedState state;
    state.is_trial = in.at("is_trial");
    state.configuration_text = in.at("configuration");
    state.text_in_force = in.value("in_force", state.configuration_text);
    state.generation = in.at("generation");
    state.run_number = in.at("run_number");
    state.statistics = adopt_descriptor(in, "statistics");
    state.counts = counts_from(in.value("counts", nlohmann::json::object()));
    state.metrics_address = in.at("metrics_address");
    state.control_path = in.at("control_path");
    state.metrics_socket = adopt_descriptor(in, "metrics_socket");
    state.control_socket = adopt_descriptor(in, "control_socket");
    state.control_streams = adopt_descriptors(in, "control_streams");
    state.control_clients = adopt_descriptors(in, "control_clients");
    state.relay = in.value("relay", 0);
    state.relay_directory = in.value("relay_directory", "");
    state.leaving_relays = in.value("leaving_relays", std::vector<pid_t>());
    state.control_idle = adopt_descriptors(in, "control_idle");
    for (const nlohmann::json& entry : in.at("listening"))
        state.addresses.push_back(listening_from(entry));
    for (const nlohmann::json& entry : in.at("workers")) {
        std::optional<size_t> slot;
        if (const auto& number = entry.at("statistics_slot"); !number.is_null()) slot = number;
        state.workers.push_back({entry.at("pid"), entry.at("index"), slot,
                                 adopt_descriptor(entry, "channel"),
                                 entry.value("is_draining", false)});
    }
    return state;
}

// The handlers are ours and don't outlive exec; a signal that comes in between must wait for those
// of the new program rather than end it.
void block_signals(int how) {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int number : {SIGHUP, SIGUSR1, SIGUSR2, SIGTERM, SIGINT, SIGCHLD})
        sigaddset(&signals, number);
    sigprocmask(how, &signals, nullptr);
}

}  // namespace

void hold_signals_back() {
    block_signals(SIG_BLOCK);
}

void let_signals_in() {
    block_signals(SIG_UNBLOCK);
}

Program Program::current(int argc, char** argv) {
    Program program{"/proc/self/exe", {argv, argv + argc}};
    std::error_code error;
    const auto running = std::filesystem::read_symlink("/proc/self/exe", error);
    if (!error) program.path = running;
    // The name that it was executed by may be a link, which leads to the next version one day.
    const auto* const name = reinterpret_cast<const char*>(getauxval(AT_EXECFN));
    if (name != nullptr && std::filesystem::equivalent(name, "/proc/self/exe", error))
        if (const auto path = std::filesystem::absolute(name, error); !error) program.path = path;
    return program;
}

Result<std::optional<InheritedState>, std::string> take_inherited_state() {
    const char* value = getenv(StateVariable);
    int fd = -1, pid = 0;
    const bool is_ours =
        value != nullptr && sscanf(value, "%d,%d", &fd, &pid) == 2 && pid == getpid();
    unsetenv(StateVariable);
    if (!is_ours) return std::optional<InheritedState>();
    const UniqueFd file = UniqueFd::adopt(fd);
    const auto in = nlohmann::json::parse(read_all(file), nullptr, false);
    try {
        if (in.at("version") != StateVersion)
            return Unexpected{std::string("the state that was passed on is of another version")};
        return std::optional<InheritedState>(state_from(in));
    } catch (const std::exception& error) {
        return Unexpected{fmt::format("the state that was passed on is broken: {}", error.what())};
    }
}

std::vector<std::string> Trial::lines() const {
    std::vector<std::string> lines;
    const std::string text = read_all(output);
    for (size_t begin = 0, end; begin < text.size(); begin = end + 1) {
        end = std::min(text.find('\n', begin), text.size());
        lines.push_back(text.substr(begin, end - begin));
    }
    return lines;
}

Result<Trial> start_trial(const Program& program, const StateToPass& state) {
    const Result<UniqueFd> file = write_state(state, true);
    if (!file) return Unexpected{file.error()};
    UniqueFd output = UniqueFd::adopt(memfd_create("proxyd-trial", MFD_CLOEXEC));
    if (!output.is_open()) return Unexpected{Errno::last()};
    const pid_t pid = fork();
    if (pid < 0) return Unexpected{Errno::last()};
    if (pid > 0) return Trial{pid, std::move(output)};

    dup2(output.borrow().number(), STDERR_FILENO);
    dup2(output.borrow().number(), STDOUT_FILENO);
    set_close_on_exec(*file, false);
    for (const BorrowedFd socket : sockets_of(state))
        set_close_on_exec(socket, false);
    unsetenv("NOTIFY_SOCKET");
    execute(program, *file, getpid());
    fmt::print(stderr, "{}: {}\n", program.path, strerrordesc_np(errno));
    fflush(stderr);
    _exit(1);
}

Errno become(const Program& program, const StateToPass& state) {
    const Result<UniqueFd> file = write_state(state, false);
    if (!file) return file.error();
    std::vector<BorrowedFd> descriptors = sockets_of(state);
    for (const StateToPass::Worker& worker : state.workers)
        descriptors.push_back(worker.channel);
    descriptors.push_back(state.statistics);
    for (const auto* clients :
         {&state.control_streams, &state.control_clients, &state.control_idle})
        descriptors.insert(descriptors.end(), clients->begin(), clients->end());
    descriptors.push_back(*file);
    for (const BorrowedFd fd : descriptors)
        set_close_on_exec(fd, false);
    hold_signals_back();
    execute(program, *file, getpid());
    const Errno why = Errno::last();
    let_signals_in();
    for (const BorrowedFd fd : descriptors)
        set_close_on_exec(fd, true);
    return why;
}

}  // namespace proxyd
