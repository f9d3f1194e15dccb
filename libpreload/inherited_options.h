// SPDX-License-Identifier: MIT
//
// The socket options that a TCP listener passes on to the connections it accepts. Used by
// libpreload: the socket that comes from proxyd has the options of proxyd's listener, and many
// servers set theirs once, on the listener (without TCP_NODELAY there, each answer of Apache,
// lighttpd or gunicorn could wait 40 ms for an acknowledgement).
//
// Options of SOL_SOCKET live in the stand-in itself, which is a socket too, and the listener's word
// notes which were set; those of TCP and IP live in the word. Whatever is in neither table is not
// passed on (README.md lists them).
#pragma once

#include "base/posix/unique_fd.h"
#include "libpreload/listener_word.h"
#include "libpreload/stand_in.h"

namespace proxyd {

// At bind: gives `stand_in` what the program has already set on the TCP socket that it replaces,
// which is what differs from `untouched`, a new TCP socket of the same family.
void carry_options(BorrowedFd tcp_socket, BorrowedFd untouched, BorrowedFd stand_in);

// Whether this option of SOL_SOCKET is passed on, so that note_native_option is worth a call.
bool is_native_option(int level, int option);
// The program has set it on the stand-in.
void note_native_option(const StandIn& stand_in, int option);
bool was_native_option_set(ListenerWord word, int option);

// The program has set this option of TCP or IP, as `tcp_socket` now shows; false if it is one that
// is not kept.
bool keep_option(const StandIn& stand_in, BorrowedFd tcp_socket, int level, int option);

// At accept: gives the connection what was set.
void pass_on_options(const StandIn& stand_in, ListenerWord word, BorrowedFd connection);
// Gives `tcp_socket` the options of TCP and IP that the word keeps.
void apply_kept_options(sa_family_t family, ListenerWord word, BorrowedFd tcp_socket);

}  // namespace proxyd
