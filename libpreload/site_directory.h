// SPDX-License-Identifier: MIT
//
// SiteDirectory: the site's directory, opened and locked while a server finds its place in it. Used
// by libpreload's bind. It makes no sockets (base/handoff/site_socket.h does) and removes only what
// other servers under libpreload have left there.
#pragma once

#include "base/handoff/instance_label.h"
#include "base/handoff/site_socket.h"
#include "base/posix/result.h"
#include "base/posix/unique_fd.h"
#include "libpreload/prepared_sockets.h"

#include <stdint.h>

namespace proxyd {

// Whose the live sockets are that listen to what a server wants to listen to.
enum class Conflict {
    None,
    Own,  // this server's: its keeper has given it out, or this process has it open
    Other,
};

class SiteDirectory {
  public:
    // Waits for other servers that are binding in this moment; but not for ever, since whoever may
    // read the directory may hold the lock. Without it nothing that is dead is removed, which
    // leaves no way to remove what somebody has put there meanwhile: names are taken only where
    // there is none (place), lock or no lock.
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
    Conflict clear_and_find_conflict(uint16_t edge_port, const InstanceLabel& wanted,
                                     const PreparedSockets& prepared);
    // Whether the socket that was bound to `bound_name` is to be found under `file_name`. True if
    // that can't be seen.
    bool has(const char* file_name, const BoundName& bound_name) const;
    // Gives the file that name: EEXIST if it is taken, unless it `replaces` it.
    Result<void> place(const char* file_name, const SiteSocketName& name, bool replaces);
    // Removes the live ones in conflict with `chosen`, but not `chosen` itself.
    void retire_conflicts(uint16_t edge_port, const InstanceLabel& chosen);
    // The lowest index under which there is no socket for this address. Low ones are used again, so
    // that names stay the same over restarts.
    uint32_t free_index(uint16_t edge_port, const InstanceLabel& wanted) const;

  private:
    SiteDirectory(UniqueFd fd, bool is_locked)
        : fd_(static_cast<UniqueFd&&>(fd)), is_locked_(is_locked) {}

    UniqueFd fd_;
    bool is_locked_;
};

}  // namespace proxyd
