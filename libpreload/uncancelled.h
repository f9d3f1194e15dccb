// SPDX-License-Identifier: MIT
//
// Uncancelled: while it lives, the thread can't be cancelled. Of all that libpreload wraps only
// accept is a cancellation point (pthreads(7)), but open(2), close(2) and others that the wrappers
// take to do their work are, too. Not around a real exec: a child of vfork(2) would leave its
// parent like that.
#pragma once

#include <pthread.h>

namespace proxyd {

class Uncancelled {
  public:
    Uncancelled() { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_); }
    ~Uncancelled() { pthread_setcancelstate(before_, nullptr); }
    Uncancelled(const Uncancelled&) = delete;
    Uncancelled& operator=(const Uncancelled&) = delete;

  private:
    int before_ = PTHREAD_CANCEL_ENABLE;
};

}  // namespace proxyd
