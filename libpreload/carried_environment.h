// SPDX-License-Identifier: MIT
//
// CarriedEnvironment: the environment for a program that is about to be executed with a listener of
// ours among its descriptors. Servers that make a new environment for it (nginx for its new binary,
// dovecot for its login processes) would leave it with a socket that it can't accept from, so what
// libpreload needs is added where it is missing. Used by the wrappers of execve and its kin.
//
// Programs that get no listener, such as CGI scripts, get what they were to get, and so do those
// whose environment has all of it already, or another LD_PRELOAD. No heap; safe in a child of
// vfork.
#pragma once

#include <stddef.h>

namespace proxyd {

class CarriedEnvironment {
  public:
    // `may_pass_any`: what is close-on-exec may be passed on, too (the file actions of
    // posix_spawn).
    CarriedEnvironment(char* const* environment, bool may_pass_any);

    bool adds_something() const { return missing_count_ > 0; }
    // How many pointers write() writes, the last one null.
    size_t size() const { return given_count_ + missing_count_ + 1; }
    void write(char** out) const;

    // At load: copies the variables, which programs may overwrite (setproctitle).
    static void remember();

  private:
    static constexpr size_t VariablesMax = 8;

    char* const* given_;
    size_t given_count_ = 0;
    const char* missing_[VariablesMax];
    size_t missing_count_ = 0;
};

}  // namespace proxyd
