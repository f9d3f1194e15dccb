// SPDX-License-Identifier: MIT
//
// group_warning: whether proxyd's workers can send to what this user puts into a site directory,
// judged by users, groups and modes. Used by proxyrun's main(). It doesn't look at the directories
// above, or at access control lists.
#pragma once

#include <string>

namespace proxyd {

// Why proxyd may not be able to send to it, and the commands that mend it: the socket gets the
// directory's group if this user is in it, or the directory has the set-group-ID bit; and proxyd's
// workers must be in that group. `workers_user`: who they are, "" if it is not known. "" if all is
// well, as far as it is known.
std::string group_warning(const std::string& site_directory, const std::string& workers_user);

}  // namespace proxyd
