// SPDX-License-Identifier: MIT
//
// The functions that libpreload wraps, as the next library in the search order (libc, as a rule)
// has them. Used by all of libpreload. What base/handoff calls is bound to these as well, by the
// linker's --wrap (CMakeLists.txt), so no code of ours ever enters our own wrappers.
#pragma once

#include <errno.h>
#include <sys/socket.h>

#include <atomic>

namespace proxyd {

// The address of `name` behind this library; keeps errno.
void* next_definition_of(const char* name);

template <typename Signature>
class RealCall;

// Resolved by the constructor of the library, or by the first call if that comes earlier (another
// library's constructor may already use sockets). Two threads that do so find the same.
template <typename Outcome, typename... Arguments>
class RealCall<Outcome(Arguments...)> {
  public:
    constexpr explicit RealCall(const char* name) : name_(name) {}
    RealCall(const RealCall&) = delete;
    RealCall& operator=(const RealCall&) = delete;

    using Function = Outcome (*)(Arguments...);

    Function resolve() {
        const Function function = reinterpret_cast<Function>(next_definition_of(name_));
        function_.store(function, std::memory_order_relaxed);
        return function;
    }

    Outcome operator()(Arguments... arguments) {
        Function function = function_.load(std::memory_order_relaxed);
        if (function == nullptr) function = resolve();
        if (function == nullptr) {
            errno = ENOSYS;
            return -1;
        }
        return function(arguments...);
    }

  private:
    const char* const name_;
    std::atomic<Function> function_{nullptr};
};

struct RealCalls {
    RealCall<int(int, sockaddr*, socklen_t*)> accept{"accept"};
    RealCall<int(int, sockaddr*, socklen_t*, int)> accept4{"accept4"};
    RealCall<int(int, const sockaddr*, socklen_t)> bind{"bind"};
    RealCall<int(int, sockaddr*, socklen_t*)> getpeername{"getpeername"};
    RealCall<int(int, sockaddr*, socklen_t*)> getsockname{"getsockname"};
    RealCall<int(int, int, int, void*, socklen_t*)> getsockopt{"getsockopt"};
    RealCall<int(int, int)> listen{"listen"};
    RealCall<ssize_t(int, void*, size_t, int)> recv{"recv"};
    RealCall<int(int, int, int, const void*, socklen_t)> setsockopt{"setsockopt"};

    void resolve_all() {
        accept.resolve();
        accept4.resolve();
        bind.resolve();
        getpeername.resolve();
        getsockname.resolve();
        getsockopt.resolve();
        listen.resolve();
        recv.resolve();
        setsockopt.resolve();
    }
};

extern RealCalls real;

}  // namespace proxyd
