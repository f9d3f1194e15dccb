// SPDX-License-Identifier: MIT
//
// What accept remembers to save a system call: hints, which the kernel's answers overrule.
// Used by accept, bind and listen. Atomic, without locks; a forked child goes on with a copy.
#pragma once

namespace proxyd {

// Descriptor numbers that were listening stand-ins when somebody last looked.
bool is_known_listener(int fd);
void learn_listener(int fd);
void forget_listener(int fd);

}  // namespace proxyd
