// SPDX-License-Identifier: MIT
#include "proxyrun/server_process.h"

#include "base/posix/unique_fd.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>

namespace proxyd {
namespace {

[[noreturn]] void execute(const ServerCommand& command, const sigset_t& signal_mask,
                          BorrowedFd error_pipe) {
    sigprocmask(SIG_SETMASK, &signal_mask, nullptr);
    // The manager hears from proxyrun, and would not listen to another process.
    unsetenv("NOTIFY_SOCKET");
    execv(command.program.c_str(), command.arguments().data());
    const int reason = errno;
    (void)!write(error_pipe.number(), &reason, sizeof(reason));
    _exit(126);
}

struct CloseFile {
    void operator()(FILE* file) const { fclose(file); }
};

}  // namespace

std::vector<char*> ServerCommand::arguments() const {
    std::vector<char*> pointers;
    for (const std::string& word : words)
        pointers.push_back(const_cast<char*>(word.c_str()));  // execve(2) doesn't write to it
    pointers.push_back(nullptr);
    return pointers;
}

Result<pid_t> start_server(const ServerCommand& command, const sigset_t& signal_mask) {
    std::array<int, 2> ends;
    if (pipe2(ends.data(), O_CLOEXEC) != 0) return Unexpected{Errno::last()};
    const UniqueFd reading = UniqueFd::adopt(ends[0]);
    UniqueFd writing = UniqueFd::adopt(ends[1]);
    const pid_t pid = fork();
    if (pid < 0) return Unexpected{Errno::last()};
    if (pid == 0) execute(command, signal_mask, writing);
    writing.close();
    // The pipe ends by itself when the program is executed.
    int reason = 0;
    if (read(reading.borrow().number(), &reason, sizeof(reason)) == sizeof(reason))
        return Unexpected{Errno{reason}};
    return pid;
}

std::vector<pid_t> children_of(pid_t pid) {
    std::vector<pid_t> children;
    std::error_code error;
    const std::filesystem::directory_iterator threads(fmt::format("/proc/{}/task", pid), error);
    for (const auto& thread : threads) {
        const std::unique_ptr<FILE, CloseFile> file(
            fopen((thread.path() / "children").c_str(), "re"));
        if (!file) continue;
        pid_t child = 0;
        while (fscanf(file.get(), "%d", &child) == 1)
            children.push_back(child);
    }
    return children;
}

std::vector<pid_t> descendants_of(pid_t pid) {
    std::vector<pid_t> found = children_of(pid);
    for (size_t i = 0; i < found.size(); i++) {
        const std::vector<pid_t> more = children_of(found[i]);
        found.insert(found.end(), more.begin(), more.end());
    }
    return found;
}

}  // namespace proxyd
