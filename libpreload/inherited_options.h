// SPDX-License-Identifier: MIT
//
// The socket options that a TCP listener passes on to the connections it accepts, or gives back
// when it is asked. Used by libpreload: the socket that comes from proxyd has the options of
// proxyd's listener, and many servers set theirs once, on the listener (without TCP_NODELAY there,
// each answer of Apache, lighttpd or gunicorn could wait 40 ms for an acknowledgement).
//
// Options of SOL_SOCKET live in the stand-in itself, which is a socket too, and its state notes
// which were set; those of TCP, IP and IPv6 live in the state. Whatever is in neither table is
// forgotten (README.md lists what is there).
#pragma once

#include "base/posix/unique_fd.h"
#include "libpreload/stand_in.h"

namespace proxyd {

// At bind: gives `stand_in` what the program has already set on the TCP socket that it replaces,
// which is what differs from `untouched`, a new TCP socket of the same family. What an earlier
// program may have set on the stand-in is gone then. The caller stores the state.
void carry_options(BorrowedFd tcp_socket, BorrowedFd untouched, StandIn& stand_in);

// Whether this option of SOL_SOCKET is passed on, so that note_native_option is worth a call.
bool is_native_option(int level, int option);
// The program has set it on the stand-in.
void note_native_option(StandIn& stand_in, int option);
bool was_native_option_set(const ListenerState& state, int option);

// The program has set this option of TCP or IP, as `tcp_socket` now shows.
void keep_option(const StandIn& stand_in, BorrowedFd tcp_socket, int level, int option);

// Whether a connection must be given anything.
bool has_options_to_pass_on(const ListenerState& state);
// At accept: gives the connection what was set.
void pass_on_options(const StandIn& stand_in, BorrowedFd connection);
// Gives `tcp_socket` all options of TCP and IP that the state keeps.
void apply_kept_options(const ListenerState& state, BorrowedFd tcp_socket);

}  // namespace proxyd
