// SPDX-License-Identifier: MIT
#include "proxyctl/workers_user.h"

#include "proxyctl/commands.h"
#include "proxyctl/text.h"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

namespace proxyd {
namespace {

// A proxyd that is stopped or very busy is not waited for: nobody has asked for it.
constexpr std::chrono::seconds AnswerTimeMax{2};

std::string user_of_proxyd(const Invocation& invocation) {
    std::string user;
    auto client = ControlClient::connect_to(invocation.control());
    if (!client) return user;
    client->wait_at_most(AnswerTimeMax);
    (void)client->ask({{"do", "status"}}, [&](const Json& status) {
        user = text_at(status, "user");
        return true;
    });
    return user;
}

bool is_own(const std::string& directory) {
    struct stat status;
    return stat(directory.c_str(), &status) == 0 && status.st_uid == geteuid();
}

std::optional<WorkersUser> of_entry(const passwd* entry) {
    if (entry == nullptr) return std::nullopt;
    WorkersUser user = {entry->pw_name, entry->pw_uid, entry->pw_gid, {}};
    int count = 32;
    user.groups.resize(static_cast<size_t>(count));
    while (getgrouplist(user.name.c_str(), user.gid, user.groups.data(), &count) < 0)
        user.groups.resize(static_cast<size_t>(count));
    user.groups.resize(static_cast<size_t>(count));
    return user;
}

WorkersUser whoever_we_are() {
    WorkersUser user = {user_name(geteuid()), geteuid(), getegid(), {}};
    user.groups.resize(static_cast<size_t>(std::max(getgroups(0, nullptr), 0)));
    if (getgroups(static_cast<int>(user.groups.size()), user.groups.data()) < 0)
        user.groups.clear();
    return user;
}

}  // namespace

std::optional<WorkersUser> WorkersUser::of_name(const std::string& name) {
    return of_entry(getpwnam(name.c_str()));
}

std::optional<WorkersUser> find_workers_user(const Invocation& invocation,
                                             const std::string& sites) {
    if (const std::string user = user_of_proxyd(invocation); !user.empty())
        return WorkersUser::of_name(user);
    if (geteuid() != 0 && is_own(sites)) return whoever_we_are();
    const auto user = WorkersUser::of_name("proxyd");
    return user ? user : WorkersUser::of_name("nobody");
}

}  // namespace proxyd
