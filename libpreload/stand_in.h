// SPDX-License-Identifier: MIT
//
// StandIn: the receiving socket that libpreload put under a program's descriptor in place of its
// TCP listener, and how one is recognised. Used by every wrapper.
//
// There is no table of descriptors. A descriptor is a stand-in if the kernel says that it is bound
// to a temporary site-socket name (".443.4-any-8443-0.sock") in our site directory; the name holds
// the address that the program bound. So it stays one through dup, fork, exec and SCM_RIGHTS, and
// stops being one when the number is reused, without a hook in any of those calls.
#pragma once

#include "base/handoff/instance_label.h"
#include "base/posix/unique_fd.h"

#include <sys/socket.h>

#include <optional>

namespace proxyd {

struct StandIn {
    BorrowedFd fd;
    InstanceLabel label;

    sa_family_t family() const { return label.address.family(); }
};

// Nothing for any other descriptor, or if libpreload is not active. Keeps errno.
std::optional<StandIn> recognise_stand_in(int fd);

}  // namespace proxyd
