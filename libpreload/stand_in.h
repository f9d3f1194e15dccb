// SPDX-License-Identifier: MIT
//
// StandIn: the receiving socket that libpreload put under a program's descriptor in place of its
// TCP listener, and how one is recognised. Used by every wrapper.
//
// There is no table of descriptors. A socket is a stand-in if it carries a ListenerState, which the
// kernel keeps for us. So it stays one through dup, fork, exec and SCM_RIGHTS, and a descriptor
// stops being one when its number is reused, without a hook in any of those calls.
//
// Of a *plain* listener accept needs to know nothing but the family: it listens, and the program
// has set no option that its connections inherit. Such a stand-in asks for timestamps, of one kind
// or the other, and the kernel tells with each datagram which it is; nothing else must be asked.
// (No other socket pays for it: the kernel reads its clock for this one only.)
#pragma once

#include "base/handoff/listener_state.h"
#include "base/posix/unique_fd.h"

#include <sys/socket.h>

#include <optional>

namespace proxyd {

struct StandIn {
    BorrowedFd fd;
    ListenerState state;

    sa_family_t family() const { return state.label.address.family(); }
    // Keeps `state` in the socket; false if the kernel didn't take it.
    bool store() const;
};

// Nothing for any other descriptor, or if libpreload is not active. Keeps errno.
std::optional<StandIn> recognise_stand_in(int fd);

// The family of the plain listener whose datagrams have timestamps of that type; AF_UNSPEC for 0.
sa_family_t family_of_plain_listener(int timestamp_type);

}  // namespace proxyd
