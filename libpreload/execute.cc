// SPDX-License-Identifier: MIT
//
// The wrappers of execve and its kin, which libpreload.so exports: they take the library along to a
// program that gets a listener of ours (carried_environment.h), and are libc's otherwise. All of
// them are here because libc's call each other past any wrapper.
#include "libpreload/carried_environment.h"
#include "libpreload/real_calls.h"
#include "libpreload/uncancelled.h"

#include <alloca.h>
#include <spawn.h>
#include <stdarg.h>
#include <unistd.h>

namespace proxyd {
namespace {

constinit RealCall<int(const char*, char* const*, char* const*)> real_execve{"execve"};
constinit RealCall<int(const char*, char* const*, char* const*)> real_execvpe{"execvpe"};
constinit RealCall<int(const char*, char* const*)> real_execv{"execv"};
constinit RealCall<int(const char*, char* const*)> real_execvp{"execvp"};
constinit RealCall<int(int, char* const*, char* const*)> real_fexecve{"fexecve"};
using Spawn = int(pid_t*, const char*, const posix_spawn_file_actions_t*, const posix_spawnattr_t*,
                  char* const*, char* const*);
constinit RealCall<Spawn> real_posix_spawn{"posix_spawn"};
constinit RealCall<Spawn> real_posix_spawnp{"posix_spawnp"};

CarriedEnvironment what_to_carry(char* const* environment, bool may_pass_any) {
    const Uncancelled uncancelled;
    return CarriedEnvironment(environment, may_pass_any);
}

// On this function's stack, so that it works in a child of vfork; call(environment) doesn't return
// there if it succeeds.
template <typename Call>
int with_carried(char* const* environment, bool may_pass_any, Call call) {
    const CarriedEnvironment carried = what_to_carry(environment, may_pass_any);
    if (!carried.adds_something()) return call(environment);
    char** const whole = static_cast<char**>(alloca(carried.size() * sizeof(char*)));
    carried.write(whole);
    return call(static_cast<char* const*>(whole));
}

// The arguments of execl and its kin end with a null, which may be the first.
size_t count_arguments(const char* first, va_list others) {
    size_t count = 0;
    for (const char* one = first; one != nullptr; one = va_arg(others, char*))
        count++;
    return count;
}

void read_arguments(const char* first, va_list others, char** out) {
    for (const char* one = first; one != nullptr; one = va_arg(others, char*))
        *out++ = const_cast<char*>(one);
    *out = nullptr;
}

int spawn(RealCall<Spawn>& real_call, pid_t* child, const char* file,
          const posix_spawn_file_actions_t* actions, const posix_spawnattr_t* attributes,
          char* const* arguments, char* const* environment) {
    return with_carried(environment, actions != nullptr, [&](char* const* whole) {
        return real_call(child, file, actions, attributes, arguments, whole);
    });
}

}  // namespace

void resolve_execute_calls() {
    real_execve.resolve();
    real_execvpe.resolve();
    real_execv.resolve();
    real_execvp.resolve();
    real_fexecve.resolve();
    real_posix_spawn.resolve();
    real_posix_spawnp.resolve();
}

extern "C" {

#pragma GCC visibility push(default)

int execve(const char* path, char* const* arguments, char* const* environment) noexcept {
    return with_carried(environment, false,
                        [&](char* const* whole) { return real_execve(path, arguments, whole); });
}

int execvpe(const char* file, char* const* arguments, char* const* environment) noexcept {
    return with_carried(environment, false,
                        [&](char* const* whole) { return real_execvpe(file, arguments, whole); });
}

int execv(const char* path, char* const* arguments) noexcept {
    return with_carried(environ, false, [&](char* const* whole) {
        return whole == environ ? real_execv(path, arguments) : real_execve(path, arguments, whole);
    });
}

int execvp(const char* file, char* const* arguments) noexcept {
    return with_carried(environ, false, [&](char* const* whole) {
        return whole == environ ? real_execvp(file, arguments)
                                : real_execvpe(file, arguments, whole);
    });
}

int fexecve(int fd, char* const* arguments, char* const* environment) noexcept {
    return with_carried(environment, false,
                        [&](char* const* whole) { return real_fexecve(fd, arguments, whole); });
}

int execl(const char* path, const char* first, ...) noexcept {
    va_list arguments, counted;
    va_start(arguments, first);
    va_copy(counted, arguments);
    char** const list =
        static_cast<char**>(alloca((count_arguments(first, counted) + 1) * sizeof(char*)));
    va_end(counted);
    read_arguments(first, arguments, list);
    va_end(arguments);
    return execv(path, list);
}

int execlp(const char* file, const char* first, ...) noexcept {
    va_list arguments, counted;
    va_start(arguments, first);
    va_copy(counted, arguments);
    char** const list =
        static_cast<char**>(alloca((count_arguments(first, counted) + 1) * sizeof(char*)));
    va_end(counted);
    read_arguments(first, arguments, list);
    va_end(arguments);
    return execvp(file, list);
}

int execle(const char* path, const char* first, ...) noexcept {
    va_list arguments, counted;
    va_start(arguments, first);
    va_copy(counted, arguments);
    char** const list =
        static_cast<char**>(alloca((count_arguments(first, counted) + 1) * sizeof(char*)));
    va_end(counted);
    read_arguments(first, arguments, list);
    char* const* const environment = va_arg(arguments, char* const*);
    va_end(arguments);
    return execve(path, list, environment);
}

int posix_spawn(pid_t* child, const char* path, const posix_spawn_file_actions_t* actions,
                const posix_spawnattr_t* attributes, char* const* arguments,
                char* const* environment) {
    return spawn(real_posix_spawn, child, path, actions, attributes, arguments, environment);
}

int posix_spawnp(pid_t* child, const char* file, const posix_spawn_file_actions_t* actions,
                 const posix_spawnattr_t* attributes, char* const* arguments,
                 char* const* environment) {
    return spawn(real_posix_spawnp, child, file, actions, attributes, arguments, environment);
}

#pragma GCC visibility pop

}  // extern "C"
}  // namespace proxyd
