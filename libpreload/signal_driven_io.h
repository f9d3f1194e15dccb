// SPDX-License-Identifier: MIT
//
// SignalDrivenIo: what a program has asked of its socket with O_ASYNC, F_SETOWN and F_SETSIG
// (fcntl(2)): read from the TCP socket before the stand-in replaces it, and set anew after. Used by
// libpreload's bind. It costs three system calls where there is none.
#pragma once

#include <fcntl.h>

namespace proxyd {

class SignalDrivenIo {
  public:
    static SignalDrivenIo of(int fd);
    // For a socket that has no O_ASYNC; best effort.
    void restore(int fd) const;

  private:
    bool is_on_ = false;
    int signal_ = 0;
    f_owner_ex owner_{};
};

}  // namespace proxyd
