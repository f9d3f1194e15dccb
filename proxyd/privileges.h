// SPDX-License-Identifier: MIT
//
// Privileges: who the workers are, and how a process becomes that and can do no more. Used by main,
// which looks the user up before it forks, and by the worker, which takes the steps; each of them
// is for good.
#pragma once

#include "base/posix/result.h"

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace proxyd {

struct WorkerUser {
    std::string name;
    uid_t uid = 0;
    gid_t gid = 0;
    std::vector<gid_t> groups;      // supplementary ones
    bool is_somebody_else = false;  // than who we are: the identity has to be changed
};

// The user of that name; "" stands for the default: "proxyd" or, if there is none, "nobody", when
// we are root, else whoever we are. Reads the user database (getpwnam(3), getgrouplist(3)). The
// error says what is wrong with the name.
Result<WorkerUser, std::string> find_worker_user(std::string_view name);
// Whether there is such a user; the default ("") always is.
bool is_known_user(std::string_view name);

// Groups, group and user id, as far as they are somebody else's, and no capability left, not even
// to be had by running another program (capabilities(7)); PR_SET_NO_NEW_PRIVS. Verified. The error
// is a whole message.
Result<void, std::string> drop_privileges(const WorkerUser& user);

}  // namespace proxyd
