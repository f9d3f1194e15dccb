// SPDX-License-Identifier: MIT
//
// getsockopt and setsockopt on a stand-in, where the AF_UNIX datagram socket answers otherwise than
// a TCP listener would. Used by those two wrappers.
//
// Nothing is made up: the answer comes from a TCP socket that is made for the question, given what
// is known of the listener, asked, and closed. (A made-up 0 has broken Erlang, which copies the
// listener's options to each connection.)
#pragma once

#include "libpreload/stand_in.h"

#include <sys/socket.h>

namespace proxyd {

// Whether getsockopt's answer for this option of SOL_SOCKET is one that a datagram socket gives and
// a TCP listener may not, so that it is worth asking whose socket it is.
bool may_be_misanswered(int option, const void* value, socklen_t length);

// Whether libpreload itself uses this option on stand-ins, so that setsockopt must not reach one.
bool is_reserved_option(int level, int option);

// As the two system calls: 0, or -1 and errno.
int ask_listener(const StandIn& stand_in, int level, int option, void* value, socklen_t* length);
int set_on_listener(const StandIn& stand_in, int level, int option, const void* value,
                    socklen_t length);

}  // namespace proxyd
