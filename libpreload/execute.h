// SPDX-License-Identifier: MIT
//
// The wrappers of execve and its kin (execute.cc), as far as the rest of libpreload knows them.
#pragma once

namespace proxyd {

// At load, since a child of fork or vfork must not look for them.
void resolve_execute_calls();

}  // namespace proxyd
