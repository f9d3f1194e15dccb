// SPDX-License-Identifier: MIT
//
// The two things that must be there before a server is started: its site directory, and
// libpreload.so. Used by proxyrun's main(). Nothing is created here.
#pragma once

#include "base/posix/result.h"

#include <string>

namespace proxyd {

// The absolute path of the directory that DIR or NAME means, if this user may put sockets into it.
// The error is one line for the user, which says what to do.
Result<std::string, std::string> usable_site(const std::string& site);

// Why proxyd may not be able to send to what this user puts there: the site socket gets the
// directory's group if this user is in it, or the directory has the set-group-ID bit; and proxyd's
// workers must be in that group. `workers_user`: who they are, "" if it is not known. "" if all is
// well.
std::string group_warning(const std::string& site_directory, const std::string& workers_user);

// PROXYD_PRELOAD, or libpreload.so as it lies beside this program in a build or install tree.
Result<std::string, std::string> find_library();

}  // namespace proxyd
