// SPDX-License-Identifier: MIT
//
// SiteLock: the lock of a site directory (flock(2)), which servers under libpreload have while they
// bind, so that nobody removes as dead what another one is just making. Used by supervisor and
// kept_sockets. Whoever may read the directory may hold it for ever, so nobody waits for ever.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/posix/unique_fd.h"

#include <sys/file.h>

#include <thread>

namespace proxyd {

class SiteLock {
  public:
    SiteLock(BorrowedFd directory, Clock::duration patience) : directory_(directory) {
        const auto deadline = Clock::now() + patience;
        while (!(is_held_ = flock(directory.number(), LOCK_EX | LOCK_NB) == 0) &&
               Clock::now() < deadline)
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    // Explicitly: a child that is being started may have the open file as well.
    ~SiteLock() {
        if (is_held_) flock(directory_.number(), LOCK_UN);
    }
    SiteLock(const SiteLock&) = delete;
    SiteLock& operator=(const SiteLock&) = delete;

    bool is_held() const { return is_held_; }

  private:
    BorrowedFd directory_;
    bool is_held_ = false;
};

}  // namespace proxyd
