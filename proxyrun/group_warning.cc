// SPDX-License-Identifier: MIT
#include "proxyrun/group_warning.h"

#include "proxyrun/advice.h"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <vector>

namespace proxyd {
namespace {

constexpr mode_t ReadAndEnter = S_IRGRP | S_IXGRP;

struct Workers {
    std::string name;
    uid_t user;
    gid_t group;
    std::vector<gid_t> groups;  // that one, too

    bool are_in(gid_t one) const { return std::ranges::find(groups, one) != groups.end(); }
};

std::optional<Workers> workers_of_name(const char* name) {
    const passwd* const entry = getpwnam(name);
    if (entry == nullptr) return std::nullopt;
    Workers workers{entry->pw_name, entry->pw_uid, entry->pw_gid, {}};
    int count = 32;
    workers.groups.resize(static_cast<size_t>(count));
    while (getgrouplist(entry->pw_name, entry->pw_gid, workers.groups.data(), &count) < 0)
        workers.groups.resize(static_cast<size_t>(count));
    workers.groups.resize(static_cast<size_t>(count));
    return workers;
}

// As long as nobody says otherwise (proxyd.json(5), "user").
std::optional<Workers> probable_workers() {
    const auto workers = workers_of_name("proxyd");
    return workers ? workers : workers_of_name("nobody");
}

std::vector<gid_t> own_groups() {
    std::vector<gid_t> groups(static_cast<size_t>(std::max(getgroups(0, nullptr), 0)));
    groups.resize(static_cast<size_t>(
        std::max(getgroups(static_cast<int>(groups.size()), groups.data()), 0)));
    groups.push_back(getegid());
    return groups;
}

// Makes the sockets of the server's next start fit. Whoever is not in a group can neither give it
// the directory nor the set-group-ID bit, even as the owner.
std::string how_to_mend(const std::string& directory, const struct stat& status,
                        const std::optional<Workers>& workers) {
    const std::string word = shell_word(directory);
    const std::string mode = fmt::format(
        "chmod g+{}s {}", (status.st_mode & ReadAndEnter) == ReadAndEnter ? "" : "rx", word);
    if (!workers || workers->are_in(status.st_gid)) return fmt::format("{}{}", as_root(), mode);
    return fmt::format("{}chgrp {} {} && {}", as_root(), shell_word(name_of_group(workers->group)),
                       word, mode);
}

}  // namespace

std::string group_warning(const std::string& site_directory, const std::string& workers_user) {
    struct stat status;
    if (stat(site_directory.c_str(), &status) != 0) return "";
    const auto known = workers_user.empty() ? std::nullopt : workers_of_name(workers_user.c_str());
    if (known && (known->user == 0 || known->user == geteuid())) return "";
    const std::vector<gid_t> own = own_groups();
    const bool gets_group = geteuid() == 0 || (status.st_mode & S_ISGID) != 0 ||
                            std::ranges::find(own, status.st_gid) != own.end();
    if (!gets_group && !(known && known->are_in(getegid())))
        return fmt::format(
            "{}: {} is not in the directory's group {}, so the socket gets another one, and proxyd "
            "may not be able to send to it: {}; and start the server again",
            site_directory, name_of_user(geteuid()), name_of_group(status.st_gid),
            how_to_mend(site_directory, status, known ? known : probable_workers()));
    if (!known) return "";
    if (gets_group && !known->are_in(status.st_gid))
        return fmt::format(
            "{}: proxyd's workers run as {}, who is not in the directory's group {}, so they can't "
            "send to the socket: {}; and start the server again",
            site_directory, known->name, name_of_group(status.st_gid),
            how_to_mend(site_directory, status, known));
    if (known->are_in(status.st_gid) && (status.st_mode & ReadAndEnter) != ReadAndEnter &&
        known->user != status.st_uid)
        return fmt::format(
            "{}: proxyd's workers run as {}, whom the directory's mode {:04o} keeps out: {}",
            site_directory, known->name, status.st_mode & 07777,
            how_to_mend(site_directory, status, known));
    return "";
}

}  // namespace proxyd
