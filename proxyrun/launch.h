// SPDX-License-Identifier: MIT
//
// The two things that must be there before a server is started: its site directory, and
// libpreload.so. Used by proxyrun's main(). Nothing is created here.
#pragma once

#include "base/posix/result.h"

#include <string>

namespace proxyd {

// The absolute path of the directory that DIR or NAME means, if this user may put sockets into it.
// The error is one line for the user, which says what to do. `control_socket`: of proxyd.
Result<std::string, std::string> usable_site(const std::string& site,
                                             const std::string& control_socket);

// PROXYD_PRELOAD, or libpreload.so as it lies beside this program in a build or install tree.
Result<std::string, std::string> find_library();

}  // namespace proxyd
