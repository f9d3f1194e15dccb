// SPDX-License-Identifier: MIT
#include "libpreload/real_calls.h"

#include <dlfcn.h>

namespace proxyd {

constinit RealCalls real;

void* next_definition_of(const char* name) {
    const int saved_errno = errno;
    void* const address = dlsym(RTLD_NEXT, name);
    errno = saved_errno;
    return address;
}

}  // namespace proxyd

// What the linker puts in place of base/handoff's calls (ld(1), --wrap).
extern "C" {

int __wrap_bind(int fd, const sockaddr* address, socklen_t length);
int __wrap_getpeername(int fd, sockaddr* address, socklen_t* length);
int __wrap_getsockname(int fd, sockaddr* address, socklen_t* length);
int __wrap_getsockopt(int fd, int level, int option, void* value, socklen_t* length);
int __wrap_setsockopt(int fd, int level, int option, const void* value, socklen_t length);

int __wrap_bind(int fd, const sockaddr* address, socklen_t length) {
    return proxyd::real.bind(fd, address, length);
}

int __wrap_getpeername(int fd, sockaddr* address, socklen_t* length) {
    return proxyd::real.getpeername(fd, address, length);
}

int __wrap_getsockname(int fd, sockaddr* address, socklen_t* length) {
    return proxyd::real.getsockname(fd, address, length);
}

int __wrap_getsockopt(int fd, int level, int option, void* value, socklen_t* length) {
    return proxyd::real.getsockopt(fd, level, option, value, length);
}

int __wrap_setsockopt(int fd, int level, int option, const void* value, socklen_t length) {
    return proxyd::real.setsockopt(fd, level, option, value, length);
}

}  // extern "C"
