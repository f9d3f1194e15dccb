// SPDX-License-Identifier: MIT
//
// Privileges: as whom a daemon's processes run, and how a process becomes that and can do no more.
// Used by the daemons, which look the user up before anything is open, and take the steps, each of
// which is for good, when all that needs more is done.
#pragma once

#include "base/posix/result.h"

#include <sys/types.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace proxyd {

struct User {
    std::string name;
    uid_t uid = 0;
    gid_t gid = 0;
    std::vector<gid_t> groups;      // supplementary ones
    bool is_somebody_else = false;  // than who we are: the identity has to be changed
};

// Who is asked for, and the words for messages.
struct UserRequest {
    std::string_view name;          // "" stands for the default
    std::string_view default_name;  // when we are root; "nobody" if there is no such user
    std::string_view processes;     // that run as the user: "workers"
    std::string_view program;       // "proxyd"
};

// The default is whoever we are when we aren't root. Reads the user database (getpwnam(3),
// getgrouplist(3)). The error says what is wrong with the name.
Result<User, std::string> find_user(const UserRequest& request);
// Whether there is such a user; the default ("") always is.
bool is_known_user(std::string_view name);

// Groups, group and user id, as far as they are somebody else's, and no capability left but those
// of `kept` that we have (CAP_NET_ADMIN of linux/capability.h), not even to be had by running
// another program (capabilities(7)); PR_SET_NO_NEW_PRIVS. Verified. The error is a whole message.
Result<void, std::string> drop_privileges(const User& user, std::span<const int> kept = {});

}  // namespace proxyd
