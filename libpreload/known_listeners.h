// SPDX-License-Identifier: MIT
//
// What accept remembers to save system calls; all of it hints, which the kernel's answers overrule.
// Used by accept, bind and listen. Atomic, without locks; a forked child goes on with a copy.
#pragma once

namespace proxyd {

// Descriptor numbers that were listening stand-ins when somebody last looked.
bool is_known_listener(int fd);
void learn_listener(int fd);
void forget_listener(int fd);

// Whether a new descriptor is certain to find a number. recvmsg(2) with a full descriptor table
// loses the connection (the kernel drops what it can't install), where accept(2) leaves it queued.
// Numbers are given out from below: as long as none in the upper half of what is allowed has come
// up, there is room, unless the program takes that half for something else. Where it isn't certain,
// accept4(2) is asked, and for good: a low number that is free again says nothing of the others.
bool has_room_for_certain();
void note_number(int number);
void note_lack_of_numbers();
// The limit may have changed: setrlimit(2).
void read_number_limit();

}  // namespace proxyd
