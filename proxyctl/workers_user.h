// SPDX-License-Identifier: MIT
//
// WorkersUser: as whom proxyd's workers run, which decides into which site directories they may
// hand over. Used by `proxyctl site`.
#pragma once

#include "base/daemon/site_access.h"
#include "proxyctl/invocation.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace proxyd {

struct WorkersUser {
    std::string name;
    uid_t uid = 0;
    gid_t gid = 0;
    std::vector<gid_t> groups;

    UserIdentity identity() const { return {uid, gid, groups}; }
    // From the user database.
    static std::optional<WorkersUser> of_name(const std::string& name);
};

// What a running proxyd says, if one answers. Else, for somebody who isn't root and whose own
// directory `sites` is, himself, since proxyd is likely to be his, too; else who it is by default:
// proxyd or, if there is no such user, nobody. Nothing: none of them is known here.
std::optional<WorkersUser> find_workers_user(const Invocation& invocation,
                                             const std::string& sites);

}  // namespace proxyd
