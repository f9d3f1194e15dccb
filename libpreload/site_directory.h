// SPDX-License-Identifier: MIT
//
// SiteDirectory: the site's directory, opened and locked while a server finds its place in it. Used
// by libpreload's bind. It makes no sockets (base/handoff/site_socket.h does) and removes only what
// other servers under libpreload have left there.
#pragma once

#include "base/handoff/instance_label.h"
#include "base/posix/result.h"
#include "base/posix/unique_fd.h"
#include "libpreload/prepared_sockets.h"

#include <stdint.h>

namespace proxyd {

class SiteDirectory {
  public:
    // Waits for other servers that are binding in this moment.
    static Result<SiteDirectory> open_locked(const char* path);
    SiteDirectory(SiteDirectory&&) = default;
    SiteDirectory& operator=(SiteDirectory&&) = default;
    // Unlocks explicitly: a child that was forked meanwhile may hold the open file, and the lock
    // with it (flock(2)).
    ~SiteDirectory();

    BorrowedFd fd() const { return fd_; }

    // Removes sockets of `edge_port` that nobody has open any more; whether a live one listens to
    // what `wanted` would listen to, as TCP judges it. Those of `prepared` that are idle don't
    // count.
    bool clear_and_find_conflict(uint16_t edge_port, const InstanceLabel& wanted,
                                 const PreparedSockets& prepared);
    // Removes the live ones in conflict with `chosen`, but not `chosen` itself.
    void retire_conflicts(uint16_t edge_port, const InstanceLabel& chosen);
    // The lowest index under which there is no socket for this address. Low ones are used again, so
    // that names stay the same over restarts.
    uint32_t free_index(uint16_t edge_port, const InstanceLabel& wanted) const;

  private:
    explicit SiteDirectory(UniqueFd fd) : fd_(static_cast<UniqueFd&&>(fd)) {}

    UniqueFd fd_;
};

// Whether TCP would refuse to bind both (without SO_REUSEPORT): same port, overlapping addresses.
bool listen_to_the_same(const InstanceLabel& a, const InstanceLabel& b);

}  // namespace proxyd
