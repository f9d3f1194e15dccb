// SPDX-License-Identifier: MIT
#include "proxyd/privileges.h"

#include "base/daemon/log.h"

#include <errno.h>
#include <fmt/format.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace proxyd {
namespace {

Unexpected<std::string> failed(std::string_view call) {
    return Unexpected{fmt::format("cannot give up privileges: {}: {}", call, errno_text(errno))};
}

std::vector<gid_t> groups_of(const passwd& entry) {
    int count = 32;
    std::vector<gid_t> groups(static_cast<size_t>(count));
    while (getgrouplist(entry.pw_name, entry.pw_gid, groups.data(), &count) < 0)
        groups.resize(static_cast<size_t>(count));
    groups.resize(static_cast<size_t>(count));
    return groups;
}

WorkerUser whoever_we_are() {
    const passwd* entry = getpwuid(geteuid());
    const std::string name = entry ? entry->pw_name : std::to_string(geteuid());
    std::vector<gid_t> groups(static_cast<size_t>(std::max(getgroups(0, nullptr), 0)));
    if (getgroups(static_cast<int>(groups.size()), groups.data()) < 0) groups.clear();
    return {name, geteuid(), getegid(), std::move(groups), false};
}

Result<void, std::string> change_identity(const WorkerUser& user) {
    if (!user.is_somebody_else) return {};
    if (setgroups(user.groups.size(), user.groups.data()) != 0) return failed("setgroups");
    if (setresgid(user.gid, user.gid, user.gid) != 0) return failed("setresgid");
    if (setresuid(user.uid, user.uid, user.uid) != 0) return failed("setresuid");
    uid_t real, effective, saved;
    if (getresuid(&real, &effective, &saved) != 0 || real != user.uid || effective != user.uid ||
        saved != user.uid || (user.uid != 0 && setuid(0) == 0))
        return Unexpected{std::string("cannot give up privileges: the user id can be regained")};
    return {};
}

// The bounding set first: it takes a capability to change it.
void empty_bounding_set() {
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
        (void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);  // EPERM: we have none to begin with
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

Result<void, std::string> clear_capabilities() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> none{};
    if (syscall(SYS_capset, &header, none.data()) != 0) return failed("capset");
    return {};
}

}  // namespace

Result<WorkerUser, std::string> find_worker_user(std::string_view name) {
    const bool is_root = geteuid() == 0;
    if (name.empty() && !is_root) return whoever_we_are();
    const passwd* entry = nullptr;
    if (name.empty()) {
        entry = getpwnam("proxyd");
        if (entry == nullptr) entry = getpwnam("nobody");
        if (entry == nullptr)
            return Unexpected{std::string("there is neither a user 'proxyd' nor 'nobody'")};
    } else {
        entry = getpwnam(std::string(name).c_str());
        if (entry == nullptr) return Unexpected{fmt::format("there is no user '{}'", name)};
    }
    const bool is_somebody_else = entry->pw_uid != geteuid();
    if (is_somebody_else && !is_root)
        return Unexpected{fmt::format(
            "workers can't be made to run as '{}' by a proxyd that isn't started as root", name)};
    return WorkerUser{entry->pw_name, entry->pw_uid, entry->pw_gid,
                      is_somebody_else ? groups_of(*entry) : std::vector<gid_t>{},
                      is_somebody_else};
}

bool is_known_user(std::string_view name) {
    return name.empty() || getpwnam(std::string(name).c_str()) != nullptr;
}

Result<void, std::string> drop_privileges(const WorkerUser& user) {
    empty_bounding_set();
    if (const auto changed = change_identity(user); !changed) return changed;
    if (const auto cleared = clear_capabilities(); !cleared) return cleared;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return failed("PR_SET_NO_NEW_PRIVS");
    return {};
}

}  // namespace proxyd
