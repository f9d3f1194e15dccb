// SPDX-License-Identifier: MIT
#include "proxyrun/port_hint.h"

#include "base/handoff/port_pair.h"
#include "base/posix/unique_fd.h"
#include "proxyrun/advice.h"
#include "proxyrun/open_ports.h"
#include "proxyrun/program_check.h"
#include "proxyrun/server_process.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

namespace proxyd {
namespace {

constexpr int LooksMax = 20;
constexpr int LookIntervalMs = 500;
// A server that opens several ports takes a moment from the first to the last.
constexpr int LooksBeforeHint = 3;

// Until the server has ended, a look has found what we wait for, or the time is over.
void watch(pid_t server, const std::string& site_directory, const std::vector<std::string>& pairs) {
    const UniqueFd process = UniqueFd::adopt(static_cast<int>(syscall(SYS_pidfd_open, server, 0)));
    if (!process.is_open()) return;
    int looks_with_ports = 0;
    for (int look = 0; look < LooksMax; look++) {
        pollfd end{process.borrow().number(), POLLIN, 0};
        if (poll(&end, 1, LookIntervalMs) != 0) return;
        std::vector<pid_t> processes = descendants_of(server);
        processes.push_back(server);
        const OpenPorts open = OpenPorts::of(processes, site_directory);
        if (open.has_site_socket) return;
        if (!open.listening.empty()) looks_with_ports++;
        if (looks_with_ports == LooksBeforeHint) {
            fmt::print(stderr, "proxyrun: {}\n", port_hint(open.listening, pairs));
            return;
        }
    }
}

// With the library in it, the process would have a site socket there.
std::string lost_library_hint(uint16_t port, pid_t process) {
    const std::string what =
        fmt::format("the server has opened port {} itself, without the library: ", port);
    std::error_code error;
    const std::string program =
        std::filesystem::read_symlink(fmt::format("/proc/{}/exe", process), error).string();
    const ProgramVerdict verdict = check_program(program);
    if (verdict.kind == ProgramVerdict::Kind::CannotWork) return what + verdict.text;
    return what +
           "something between proxyrun and the server has taken the environment away (env -i, "
           "sudo...): put proxyrun behind that, right before the server's own command";
}

}  // namespace

std::string port_hint(const std::map<uint16_t, pid_t>& listening,
                      const std::vector<std::string>& pairs) {
    std::vector<PortPair> wanted;
    for (const std::string& text : pairs) {
        if (const auto pair = PortPair::parse(text)) wanted.push_back(*pair);
    }
    std::set<uint16_t> edges;
    std::vector<uint16_t> servers;
    for (const PortPair& pair : wanted) {
        if (const auto open = listening.find(pair.server); open != listening.end())
            return lost_library_hint(open->first, open->second);
        servers.push_back(pair.server);
        edges.insert(pair.edge);
    }
    for (const PortPair& pair : wanted) {
        if (listening.contains(pair.edge))
            return fmt::format(
                "the server listens on port {0} itself, where proxyd's clients don't come, and not "
                "on {1}: proxyd's port is the first one of --port, so start it with --port {1}={0}",
                pair.edge, pair.server);
    }
    if (edges.empty()) edges.insert(443);
    std::vector<uint16_t> others;
    for (const auto& [port, process] : listening)
        others.push_back(port);
    return fmt::format(
        "the server listens on port {} itself, where proxyd's clients don't come, and on none of "
        "{}: start it with {}",
        fmt::join(others, " and "), fmt::join(servers, ", "), port_advice(edges, others.front()));
}

void watch_for_port_hint(const std::string& site_directory, const std::vector<std::string>& pairs) {
    if (isatty(STDERR_FILENO) != 1) return;
    const pid_t server = getpid();
    const pid_t between = fork();
    if (between == 0) {
        // Its parent ends at once, so the server has no child that it doesn't know.
        if (fork() == 0) watch(server, site_directory, pairs);
        _exit(0);
    }
    if (between > 0) waitpid(between, nullptr, 0);
}

}  // namespace proxyd
