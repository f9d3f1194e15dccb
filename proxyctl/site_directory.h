// SPDX-License-Identifier: MIT
//
// Making and judging site directories: who may receive for a name is decided by owner and mode of
// the directory of that name (docs/HANDOFF.md). Used by `proxyctl site`; asks no proxyd.
#pragma once

#include "base/posix/result.h"
#include "proxyctl/workers_user.h"

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace proxyd {

struct SiteDirectoryOwner {
    uid_t user = 0;
    gid_t group = 0;
};

// The name as the directory is called: in lower case, without a trailing dot. The error says what
// is wrong with it.
Result<std::string, std::string> site_directory_name(std::string_view text);

// Makes the directory `name` in `sites`, with that owner and mode 2750: what the server makes in it
// gets the group, and proxyd with it. It appears as a whole or not at all. The error is a whole
// message.
Result<void, std::string> make_site_directory(const std::string& sites, const std::string& name,
                                              const SiteDirectoryOwner& owner);

struct SiteDirectoryEntry {
    std::string name;
    mode_t mode = 0;
    uid_t user = 0;
    gid_t group = 0;
    std::vector<std::string> sockets;   // file names
    std::vector<std::string> problems;  // what is wrong, for people
    bool is_readable = true;            // else nobody knows which sockets there are
};

// In alphabetical order; whether proxyd's workers are kept out is judged for `workers`, if they are
// known. The error is a whole message.
Result<std::vector<SiteDirectoryEntry>, std::string> list_site_directories(
    const std::string& sites, const WorkersUser* workers);

}  // namespace proxyd
