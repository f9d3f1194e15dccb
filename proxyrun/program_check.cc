// SPDX-License-Identifier: MIT
#include "proxyrun/program_check.h"

#include "base/posix/unique_fd.h"
#include "proxyrun/advice.h"
#include "proxyrun/elf_file.h"
#include "proxyrun/program_notes.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace proxyd {
namespace {

using Kind = ProgramVerdict::Kind;

constexpr int ScriptDepthMax = 5;  // as the kernel's limit (execve(2), "Interpreter scripts")

// As execve(2) will see it: access(2) asks for the real user, without capabilities.
bool may_access(const std::string& path, int mode) {
    return faccessat(AT_FDCWD, path.c_str(), mode, AT_EACCESS) == 0;
}

bool is_executable_file(const std::string& path) {
    struct stat status;
    return stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && may_access(path, X_OK);
}

std::string_view next_word(std::string_view& text) {
    const size_t start = std::min(text.find_first_not_of(" \t"), text.size());
    text.remove_prefix(start);
    const std::string_view word = text.substr(0, text.find_first_of(" \t"));
    text.remove_prefix(word.size());
    return word;
}

// What a script's first line names: the program, or what /usr/bin/env would start. "" if `file` is
// no script.
std::string script_interpreter(BorrowedFd file) {
    std::array<char, 256> start{};
    const ssize_t size = pread(file.number(), start.data(), start.size(), 0);
    if (size < 2 || start[0] != '#' || start[1] != '!') return "";
    std::string_view line(start.data() + 2, static_cast<size_t>(size) - 2);
    line = line.substr(0, line.find('\n'));
    const std::string_view interpreter = next_word(line);
    if (!interpreter.ends_with("/env")) return std::string(interpreter);
    std::string_view word = next_word(line);
    while (word.starts_with('-') || word.find('=') != word.npos)
        word = next_word(line);
    return word.empty() ? std::string(interpreter) : std::string(word);
}

// Programs that start the server in an environment of its own, or have somebody else start it: the
// library would be lost on the way, and the server open its port to the network.
std::string go_between_problem(const std::string& path) {
    struct ForOtherUsers {
        std::string_view name, takes, how;
    };
    // Started by root, su and runuser leave the environment; the site's directory is still to be
    // judged for the user who puts the socket there.
    constexpr std::array<ForOtherUsers, 5> Known = {{
        {"sudo", "takes", "sudo -u USER {} ... -- COMMAND"},
        {"doas", "takes", "doas -u USER {} ... -- COMMAND"},
        {"pkexec", "takes", "pkexec --user USER {} ... -- COMMAND"},
        {"runuser", "may take", "runuser -u USER -- {} ... -- COMMAND"},
        {"su", "may take", "su USER -s /bin/sh -c '{} ... -- COMMAND'"},
    }};
    constexpr std::array<std::string_view, 4> ForServices = {"systemctl", "service", "systemd-run",
                                                             "start-stop-daemon"};
    const std::string_view name = std::string_view(path).substr(path.rfind('/') + 1);
    const auto* const found = std::ranges::find(Known, name, &ForOtherUsers::name);
    if (found != Known.end())
        return fmt::format("{} {} the environment away that the library needs: put it first, {}",
                           name, found->takes,
                           fmt::format(fmt::runtime(found->how), typed_proxyrun()));
    if (std::ranges::find(ForServices, name) != ForServices.end())
        return fmt::format(
            "{} starts a service in an environment of its own: put proxyrun before the server's "
            "own command",
            name);
    if (name == "docker" || name == "podman")
        return fmt::format(
            "{} has the server started in a container, which needs the site's directory, "
            "libpreload.so and its variables: see libpreload(7)",
            name);
    return "";
}

// Whether the kernel will mark the process as secure, so that the loader drops LD_PRELOAD
// (ld.so(8), "Secure-execution mode"). It doesn't for what changes nothing: a file of one's own, or
// capabilities for root.
std::string privilege_problem(BorrowedFd file, const std::string& path) {
    struct stat status;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 || fstat(file.number(), &status) != 0)
        return "";
    const bool changes_user = (status.st_mode & S_ISUID) != 0 && status.st_uid != getuid();
    const bool changes_group = (status.st_mode & S_ISGID) != 0 && (status.st_mode & S_IXGRP) != 0 &&
                               status.st_gid != getgid();
    if (changes_user || changes_group)
        return fmt::format(
            "{} is set-{}-ID, so the loader ignores LD_PRELOAD: start it under "
            "setpriv --no-new-privs, or use a copy without that mode bit",
            path, changes_user ? "user" : "group");
    const bool has_capabilities = fgetxattr(file.number(), "security.capability", nullptr, 0) > 0;
    if (has_capabilities && getuid() != 0)
        return fmt::format(
            "{0} has file capabilities, so the loader ignores LD_PRELOAD: remove "
            "them (setcap -r {0}), since proxyd has the low ports now, or start it "
            "under setpriv --no-new-privs",
            path);
    return "";
}

ProgramVerdict judge(const ElfFile& elf, const std::string& path) {
    const auto cannot = [&](std::string_view why) {
        return ProgramVerdict{Kind::CannotWork, fmt::format("{} {}", path, why), ""};
    };
    if (elf.has_other_word_size)
        return cannot(sizeof(void*) == 8
                          ? "is a 32-bit program, and libpreload.so a 64-bit library: use a 64-bit "
                            "build"
                          : "is a 64-bit program, and libpreload.so a 32-bit library: build proxyd "
                            "for 64 bits");
    if (!elf.is_native)
        return cannot("is built for another architecture than libpreload.so: build proxyd for it");
    if (elf.is_go)
        return cannot(
            "is a Go program, which calls the kernel without libc, so nothing can be preloaded");
    if (elf.interpreter.empty())
        return cannot(
            "is statically linked, so nothing can be preloaded: use a dynamically linked build");
    if (elf.interpreter.find("ld-musl") != elf.interpreter.npos)
        return {Kind::Works, path + " will work: dynamically linked with musl", ""};
    if (elf.interpreter.find("/ld-linux") == elf.interpreter.npos &&
        elf.interpreter.find("/ld64.so") == elf.interpreter.npos)
        return cannot(
            fmt::format("is linked with another libc than glibc or musl (its loader is "
                        "{}), and libpreload.so knows these two",
                        elf.interpreter));
    return {Kind::Works, path + " will work: dynamically linked", ""};
}

}  // namespace

std::optional<std::string> find_program(const std::string& program) {
    if (program.find('/') != program.npos) {
        if (!may_access(program, F_OK)) return std::nullopt;
        return program;
    }
    const char* const path = getenv("PATH");
    std::string_view rest = path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin";
    std::optional<std::string> not_executable;
    while (!program.empty()) {
        const size_t end = std::min(rest.find(':'), rest.size());
        const std::string_view directory = rest.substr(0, end);
        const std::string candidate =
            fmt::format("{}/{}", directory.empty() ? "." : directory, program);
        if (is_executable_file(candidate)) return candidate;
        if (!not_executable && may_access(candidate, F_OK)) not_executable = candidate;
        if (end == rest.size()) break;
        rest.remove_prefix(end + 1);
    }
    return not_executable;
}

ProgramVerdict check_program(const std::string& path) {
    if (const std::string problem = go_between_problem(path); !problem.empty())
        return {Kind::CannotWork, problem, ""};
    std::string judged = path;
    for (int depth = 0; depth <= ScriptDepthMax; depth++) {
        if (!is_executable_file(judged))
            return {Kind::NotExecutable, fmt::format("{} is no executable file", judged), ""};
        const UniqueFd file = UniqueFd::adopt(open(judged.c_str(), O_RDONLY | O_CLOEXEC));
        // Execute permission alone is enough to start it; then there is nothing to judge by.
        if (!file.is_open())
            return {Kind::Works,
                    fmt::format("{} may work: it can't be read ({})", judged, strerror(errno)), ""};
        if (const auto elf = ElfFile::read(file)) {
            const std::string problem = privilege_problem(file, judged);
            ProgramVerdict verdict = problem.empty()
                                         ? judge(*elf, judged)
                                         : ProgramVerdict{Kind::CannotWork, problem, ""};
            verdict.note = program_note(judged);
            if (depth > 0)
                verdict.text =
                    fmt::format("{} is a script, and its interpreter {}", path, verdict.text);
            return verdict;
        }
        const std::string interpreter = script_interpreter(file);
        if (interpreter.empty())
            return {Kind::NotExecutable,
                    fmt::format("{} is neither a program nor a script with a #! line", judged), ""};
        const auto found = find_program(interpreter);
        if (!found)
            return {Kind::NotFound,
                    fmt::format("{} needs {}, which is not there", judged, interpreter), ""};
        judged = *found;
    }
    return {Kind::NotExecutable, fmt::format("{} is a script of scripts", path), ""};
}

}  // namespace proxyd
