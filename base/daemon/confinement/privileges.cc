// SPDX-License-Identifier: MIT
#include "base/daemon/confinement/privileges.h"

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

User whoever_we_are() {
    const passwd* entry = getpwuid(geteuid());
    const std::string name = entry ? entry->pw_name : std::to_string(geteuid());
    std::vector<gid_t> groups(static_cast<size_t>(std::max(getgroups(0, nullptr), 0)));
    if (getgroups(static_cast<int>(groups.size()), groups.data()) < 0) groups.clear();
    return {name, geteuid(), getegid(), std::move(groups), false};
}

Result<void, std::string> change_identity(const User& user) {
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

using CapabilityWords = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

// All but those of `kept` that we have.
Result<void, std::string> clear_capabilities(std::span<const int> kept) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    CapabilityWords had{}, left{};
    if (syscall(SYS_capget, &header, had.data()) != 0) return failed("capget");
    for (const int capability : kept) {
        const size_t word = static_cast<size_t>(capability) / 32;
        const uint32_t bit = had[word].permitted & (1U << (capability % 32));
        left[word].permitted |= bit;
        left[word].effective |= bit;
    }
    if (syscall(SYS_capset, &header, left.data()) != 0) return failed("capset");
    return {};
}

}  // namespace

Result<User, std::string> find_user(const UserRequest& request) {
    const bool is_root = geteuid() == 0;
    if (request.name.empty() && !is_root) return whoever_we_are();
    const passwd* entry = nullptr;
    if (request.name.empty()) {
        entry = getpwnam(std::string(request.default_name).c_str());
        if (entry == nullptr) entry = getpwnam("nobody");
        if (entry == nullptr)
            return Unexpected{
                fmt::format("there is neither a user '{}' nor 'nobody'", request.default_name)};
    } else {
        entry = getpwnam(std::string(request.name).c_str());
        if (entry == nullptr) return Unexpected{fmt::format("there is no user '{}'", request.name)};
    }
    const bool is_somebody_else = entry->pw_uid != geteuid();
    if (is_somebody_else && !is_root)
        return Unexpected{
            fmt::format("{} can't be made to run as '{}' by a {} that isn't started as root",
                        request.processes, request.name, request.program)};
    return User{entry->pw_name, entry->pw_uid, entry->pw_gid,
                is_somebody_else ? groups_of(*entry) : std::vector<gid_t>{}, is_somebody_else};
}

bool is_known_user(std::string_view name) {
    return name.empty() || getpwnam(std::string(name).c_str()) != nullptr;
}

Result<void, std::string> drop_privileges(const User& user, std::span<const int> kept) {
    empty_bounding_set();
    // Else they would go with the user id; none is in force meanwhile.
    if (!kept.empty() && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return failed("PR_SET_KEEPCAPS");
    if (const auto changed = change_identity(user); !changed) return changed;
    if (const auto cleared = clear_capabilities(kept); !cleared) return cleared;
    if (!kept.empty() && prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0) return failed("PR_SET_KEEPCAPS");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return failed("PR_SET_NO_NEW_PRIVS");
    return {};
}

}  // namespace proxyd
