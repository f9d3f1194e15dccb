// SPDX-License-Identifier: MIT
//
// Whether proxyd's workers can hand over into a site directory, judged by its owner, group and mode
// alone. Used by proxyd's warnings and by `proxyctl site list`. It doesn't look at the sockets in
// it, at the directories above it, or at access control lists.
#pragma once

#include <sys/stat.h>

#include <algorithm>
#include <span>

namespace proxyd {

struct UserIdentity {
    uid_t uid = 0;
    gid_t gid = 0;
    std::span<const gid_t> groups;  // supplementary ones
};

enum class SiteAccess {
    Fine,
    ForeignGroup,  // the user would have to be in the directory's group
    ClosedByMode,  // that would not help
};

// Workers have no capabilities, so root is judged as anybody else.
inline SiteAccess site_access(const struct stat& directory, const UserIdentity& user) {
    constexpr mode_t ReadAndEnter = S_IROTH | S_IXOTH;
    const bool is_owner = directory.st_uid == user.uid;
    const bool is_in_group = directory.st_gid == user.gid ||
                             std::ranges::find(user.groups, directory.st_gid) != user.groups.end();
    const mode_t of_group = directory.st_mode >> 3;
    const mode_t bits = is_owner      ? directory.st_mode >> 6
                        : is_in_group ? of_group
                                      : directory.st_mode;
    if ((bits & ReadAndEnter) != ReadAndEnter) {
        const bool would_group_help = !is_owner && !is_in_group;
        return would_group_help && (of_group & ReadAndEnter) == ReadAndEnter
                   ? SiteAccess::ForeignGroup
                   : SiteAccess::ClosedByMode;
    }
    if (is_in_group || (directory.st_mode & S_IWOTH) != 0) return SiteAccess::Fine;
    // A socket gets the group of its directory if that has the set-group-ID bit, else that of its
    // server, which may well be the owner himself.
    if (is_owner && (directory.st_mode & S_ISGID) == 0) return SiteAccess::Fine;
    return SiteAccess::ForeignGroup;
}

}  // namespace proxyd
