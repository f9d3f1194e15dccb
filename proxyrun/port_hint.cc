// SPDX-License-Identifier: MIT
#include "proxyrun/port_hint.h"

#include "base/handoff/port_pair.h"
#include "base/posix/unique_fd.h"
#include "proxyrun/open_ports.h"
#include "proxyrun/server_process.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

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

}  // namespace

std::string port_hint(const std::set<uint16_t>& listening, const std::vector<std::string>& pairs) {
    std::vector<uint16_t> wanted;
    for (const std::string& text : pairs) {
        if (const auto pair = PortPair::parse(text)) wanted.push_back(pair->server);
    }
    const uint16_t edge = pairs.empty() ? 443 : PortPair::parse(pairs.front())->edge;
    return fmt::format(
        "the server listens on port {} itself, where proxyd's clients don't come, and on none of "
        "{}: start it with --port {}={}",
        fmt::join(listening, " and "), fmt::join(wanted, ", "), edge, *listening.begin());
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
