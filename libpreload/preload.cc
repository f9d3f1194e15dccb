// SPDX-License-Identifier: MIT
//
// The functions of sockets that libpreload.so exports in front of libc's (execute.cc has the
// others). The laws of this library:
//
// 1. Guest: without our variables, or on any doubt, behave exactly as libc. Never exit, abort,
//    print (but for PROXYD_TRACE=1) or change signals.
// 2. libc only: no exceptions, RTTI, heap, mutexes, guarded statics or dynamic initialisers; linked
//    by the C driver. check_library.sh fails the build if the library needs anything else, or
//    exports a name that isn't in exports.map. No link-time optimisation, no sanitizers.
// 3. accept neither allocates nor locks, and is async-signal-safe; nothing is held across a call
//    that blocks; fork needs no help.
// 4. The real functions are found at load, or by an earlier call. errno changes only as the libc
//    call could have changed it.
// 5. What comes out of accept looks accepted. A silent or broken sender costs one handoff, never a
//    stuck accept.
// 6. Every exported function stands in README.md with its contract.
//
// Each wrapper makes the real call first and steps in only where an AF_UNIX datagram socket has
// refused (EOPNOTSUPP) or answered as no TCP socket could. So other descriptors cost nothing, and
// nothing needs to be known about them. (bind alone must act before; accept and recv do where they
// know the descriptor.)
#include "libpreload/accept_connection.h"
#include "libpreload/bind_listener.h"
#include "libpreload/carried_environment.h"
#include "libpreload/connection_addresses.h"
#include "libpreload/execute.h"
#include "libpreload/guest_config.h"
#include "libpreload/inherited_options.h"
#include "libpreload/known_listeners.h"
#include "libpreload/listener_options.h"
#include "libpreload/real_calls.h"
#include "libpreload/stand_in.h"
#include "libpreload/trace.h"
#include "libpreload/uncancelled.h"

#include <errno.h>
#include <sys/socket.h>

#include <optional>

namespace proxyd {
namespace {

[[gnu::constructor]] void start() {
    real.resolve_all();
    resolve_execute_calls();
    const GuestConfig& config = guest_config();
    if (config.is_active) CarriedEnvironment::remember();
    if (config.problem != nullptr) trace("not active: %s", config.problem);
}

// The stand-in that has just refused a call, or nothing. errno becomes what it was before the call,
// for the answer that takes the refusal's place.
std::optional<StandIn> refusing_stand_in(int fd, int outcome, int errno_before) {
    if (outcome >= 0 || errno != EOPNOTSUPP) return std::nullopt;
    const auto stand_in = recognise_stand_in(fd);
    if (stand_in) errno = errno_before;
    return stand_in;
}

}  // namespace

// In this namespace for the sake of the names inside: functions with C linkage are libc's, wherever
// they are declared.
extern "C" {

#pragma GCC visibility push(default)

int bind(int fd, const sockaddr* address, socklen_t length) noexcept {
    const Uncancelled uncancelled;
    const auto outcome = bind_listener(fd, address, length);
    return outcome ? *outcome : real.bind(fd, address, length);
}

int listen(int fd, int backlog) noexcept {
    const int errno_before = errno;
    const int outcome = real.listen(fd, backlog);
    auto stand_in = refusing_stand_in(fd, outcome, errno_before);
    if (!stand_in) return outcome;
    if (!stand_in->state.is_listening) {
        stand_in->state.is_listening = true;
        if (!stand_in->store()) {
            errno = EOPNOTSUPP;
            return -1;
        }
    }
    learn_listener(fd);
    return 0;
}

int accept(int fd, sockaddr* address, socklen_t* length) {
    return accept_connection(AcceptCall::Accept, fd, address, length, 0);
}

int accept4(int fd, sockaddr* address, socklen_t* length, int flags) {
    return accept_connection(AcceptCall::Accept4, fd, address, length, flags);
}

ssize_t recv(int fd, void* buffer, size_t length, int flags) {
    if (is_known_listener(fd)) {
        if (recognise_stand_in(fd)) {
            errno = ENOTCONN;
            return -1;
        }
        forget_listener(fd);  // its number has become another one's
    }
    return real.recv(fd, buffer, length, flags);
}

int getpeername(int fd, sockaddr* address, socklen_t* length) noexcept {
    if (!guest_config().is_active) return real.getpeername(fd, address, length);
    const socklen_t room = length != nullptr ? *length : 0;
    const int outcome = real.getpeername(fd, address, length);
    if (outcome == 0) tell_peer(fd, address, room, length);
    return outcome;
}

int getsockname(int fd, sockaddr* address, socklen_t* length) noexcept {
    if (!guest_config().is_active) return real.getsockname(fd, address, length);
    const socklen_t room = length != nullptr ? *length : 0;
    const int outcome = real.getsockname(fd, address, length);
    if (outcome != 0) return outcome;
    // A buffer that is too short for the family is no proof that it isn't AF_UNIX.
    if (room < sizeof(sa_family_t) || address->sa_family == AF_UNIX) {
        if (const auto stand_in = recognise_stand_in(fd)) {
            write_address(stand_in->state.label.address, address, room, length);
            return outcome;
        }
    }
    tell_local(fd, address, room, length);
    return outcome;
}

int getsockopt(int fd, int level, int option, void* value, socklen_t* length) noexcept {
    if (!guest_config().is_active) return real.getsockopt(fd, level, option, value, length);
    const int errno_before = errno;
    socklen_t room = length != nullptr ? *length : 0;
    const int outcome = real.getsockopt(fd, level, option, value, length);
    if (outcome == 0) {
        if (level != SOL_SOCKET || !may_be_misanswered(option, value, *length)) return outcome;
        const auto stand_in = recognise_stand_in(fd);
        if (!stand_in) return outcome;
        *length = room;
        const Uncancelled uncancelled;
        return ask_listener(*stand_in, level, option, value, length);
    }
    const auto stand_in = refusing_stand_in(fd, outcome, errno_before);
    const Uncancelled uncancelled;
    return stand_in ? ask_listener(*stand_in, level, option, value, length) : outcome;
}

int setsockopt(int fd, int level, int option, const void* value, socklen_t length) noexcept {
    const int errno_before = errno;
    // Where the listener's state lies: the program must not overwrite it.
    if (is_reserved_option(level, option)) {
        const Uncancelled uncancelled;
        if (const auto stand_in = recognise_stand_in(fd))
            return set_on_listener(*stand_in, level, option, value, length);
    }
    const int outcome = real.setsockopt(fd, level, option, value, length);
    if (outcome == 0) {
        if (is_native_option(level, option)) {
            if (auto stand_in = recognise_stand_in(fd)) note_native_option(*stand_in, option);
        }
        return outcome;
    }
    const auto stand_in = refusing_stand_in(fd, outcome, errno_before);
    const Uncancelled uncancelled;
    return stand_in ? set_on_listener(*stand_in, level, option, value, length) : outcome;
}

#pragma GCC visibility pop

}  // extern "C"
}  // namespace proxyd
