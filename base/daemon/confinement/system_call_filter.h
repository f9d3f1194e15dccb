// SPDX-License-Identifier: MIT
//
// SystemCallFilter: which system calls a process may still make (seccomp(2)). It is filled with
// rules and then loaded, for good; filters add up, and the kernel takes the worst that any of them
// says. Used by the daemons' sandboxes, whose policies say what is needed.
#pragma once

#include "base/posix/result.h"

#include <seccomp.h>

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>

namespace proxyd {

class SystemCallFilter {
  public:
    // Of a system call: its argument of that number, as far as `mask` shows it, has a value.
    using Condition = scmp_arg_cmp;
    static Condition argument_is(unsigned number, uint64_t mask, uint64_t value) {
        return {number, SCMP_CMP_MASKED_EQ, mask, value};
    }
    // The kernel takes 32 bits of a descriptor, and of most other numbers.
    static Condition argument_is(unsigned number, int value) {
        return argument_is(number, UINT32_MAX, static_cast<uint32_t>(value));
    }

    // Whatever isn't allowed ends the process with SIGSYS; in builds with sanitizers, whose
    // runtimes make calls of their own, it is only logged by the kernel.
    static SystemCallFilter that_allows_nothing();
    static SystemCallFilter that_allows_all();

    // `call` is SCMP_SYS(name). With several conditions all must hold; with several rules for a
    // call, one of them.
    void allow(int call, std::initializer_list<Condition> conditions = {});
    void forbid(int call, std::initializer_list<Condition> conditions = {});
    // What every daemon does: waiting, memory, reading and writing of what is open, closing it,
    // signals to itself, its own end; no memory becomes a program.
    void allow_basics();

    // PR_SET_NO_NEW_PRIVS is set already (privileges.h). The error is a whole message, also of what
    // went wrong with a rule.
    Result<void, std::string> load();

  private:
    explicit SystemCallFilter(uint32_t on_other_calls);
    void add(uint32_t action, int call, std::initializer_list<Condition> conditions);

    std::unique_ptr<void, decltype(&seccomp_release)> filter_;
    int error_ = 0;  // of the first rule that failed
};

}  // namespace proxyd
