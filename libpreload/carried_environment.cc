// SPDX-License-Identifier: MIT
#include "libpreload/carried_environment.h"

#include "base/handoff/listener_state.h"
#include "libpreload/guest_config.h"
#include "libpreload/process_descriptors.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <array>
#include <string_view>

namespace proxyd {
namespace {

constexpr std::array Names = {"PROXYD_SITE",  "PROXYD_PORTS",   "PROXYD_TAKEOVER",
                              "PROXYD_TRACE", "PROXYD_SOCKETS", "PROXYD_KEEPER"};

// "NAME=value" for each that is set, LD_PRELOAD first.
constinit char text[4 * 4096];
constinit const char* variables[Names.size() + 1];
constinit size_t variable_count = 0;

bool is_passed_on(int fd, bool may_pass_any) {
    const int flags = fcntl(fd, F_GETFD);
    if (flags < 0 || ((flags & FD_CLOEXEC) != 0 && !may_pass_any)) return false;
    return ListenerState::of(BorrowedFd(fd)).has_value();
}

bool passes_on_listener(bool may_pass_any) {
    bool is_one = false;
    const auto look_at = [&](int fd) { is_one = is_one || is_passed_on(fd, may_pass_any); };
    if (!for_each_descriptor(getpid(), [&](int fd, std::string_view) { look_at(fd); })) {
        for (int fd = 0; fd < 64; fd++)
            look_at(fd);
    }
    return is_one;
}

bool has_variable(char* const* environment, const char* variable) {
    const size_t name_length = static_cast<size_t>(strchr(variable, '=') - variable) + 1;
    for (; environment != nullptr && *environment != nullptr; environment++) {
        if (strncmp(*environment, variable, name_length) == 0) return true;
    }
    return false;
}

// False if it doesn't fit.
bool remember_variable(size_t& used, const char* name, const char* value) {
    const int length = snprintf(text + used, sizeof(text) - used, "%s=%s", name, value);
    if (length < 0 || static_cast<size_t>(length) >= sizeof(text) - used) return false;
    variables[variable_count++] = text + used;
    used += static_cast<size_t>(length) + 1;
    return true;
}

}  // namespace

void CarriedEnvironment::remember() {
    Dl_info library;
    size_t used = 0;
    variable_count = 0;
    if (dladdr(text, &library) == 0 || library.dli_fname == nullptr ||
        !remember_variable(used, "LD_PRELOAD", library.dli_fname))
        return;
    for (const char* const name : Names) {
        const char* const value = secure_getenv(name);
        if (value != nullptr && !remember_variable(used, name, value)) variable_count = 0;
    }
}

CarriedEnvironment::CarriedEnvironment(char* const* environment, bool may_pass_any)
    : given_(environment) {
    if (!guest_config().is_active) return;
    const int saved_errno = errno;
    for (size_t i = 0; i < variable_count; i++) {
        if (!has_variable(environment, variables[i])) missing_[missing_count_++] = variables[i];
    }
    if (missing_count_ > 0 && !passes_on_listener(may_pass_any)) missing_count_ = 0;
    while (environment != nullptr && environment[given_count_] != nullptr)
        given_count_++;
    errno = saved_errno;
}

void CarriedEnvironment::write(char** out) const {
    for (size_t i = 0; i < given_count_; i++)
        *out++ = given_[i];
    for (size_t i = 0; i < missing_count_; i++)
        *out++ = const_cast<char*>(missing_[i]);
    *out = nullptr;
}

}  // namespace proxyd
