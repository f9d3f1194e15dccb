// SPDX-License-Identifier: MIT
#include "proxyrun/launch.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

namespace proxyd {
namespace {

constexpr const char* SitesDirectory = "/run/proxyd/sites";

// The path without links, "." and ".."; "" if there is nothing.
std::string canonical(const std::string& path) {
    char resolved[PATH_MAX];
    return realpath(path.c_str(), resolved) != nullptr ? resolved : "";
}

std::string user_name(uid_t user) {
    const passwd* const entry = getpwuid(user);
    return entry != nullptr ? entry->pw_name : std::to_string(user);
}

std::string group_name(gid_t group) {
    const struct group* const entry = getgrgid(group);
    return entry != nullptr ? entry->gr_name : std::to_string(group);
}

std::vector<gid_t> own_groups() {
    std::vector<gid_t> groups(static_cast<size_t>(std::max(getgroups(0, nullptr), 0)));
    groups.resize(static_cast<size_t>(
        std::max(getgroups(static_cast<int>(groups.size()), groups.data()), 0)));
    groups.push_back(getegid());
    return groups;
}

std::vector<gid_t> groups_of(const passwd& user) {
    int count = 256;
    std::vector<gid_t> groups(static_cast<size_t>(count));
    getgrouplist(user.pw_name, user.pw_gid, groups.data(), &count);
    groups.resize(static_cast<size_t>(std::clamp(count, 0, 256)));
    return groups;
}

bool contains(const std::vector<gid_t>& groups, gid_t group) {
    return std::find(groups.begin(), groups.end(), group) != groups.end();
}

std::string permission_problem(const std::string& path, const struct stat& status, int reason) {
    const std::string us = user_name(geteuid());
    if (status.st_uid == geteuid())
        return fmt::format(
            "{0}: {1} can't put a socket there ({2}), though the directory is {1}'s: chmod u+rwx "
            "{0}",
            path, us, strerror(reason));
    return fmt::format(
        "{0}: {1} can't put a socket there ({2}): the directory is {3}'s; start the server as that "
        "user (sudo -u {3} proxyrun ...), or give the directory to this one (chown {1} {0})",
        path, us, strerror(reason), user_name(status.st_uid));
}

}  // namespace

Result<std::string, std::string> usable_site(const std::string& site) {
    const bool is_name = site.find('/') == site.npos;
    const std::string path = is_name ? fmt::format("{}/{}", SitesDirectory, site) : site;
    struct stat status;
    if (stat(path.c_str(), &status) != 0) {
        if (errno == ENOENT)
            return Unexpected{
                fmt::format("{0}: there is no such site directory: make it (mkdir -p {0})", path)};
        return Unexpected{fmt::format("{}: {}", path, strerror(errno))};
    }
    if (!S_ISDIR(status.st_mode)) return Unexpected{path + " is no directory"};
    // As bind(2) in the server will be asked: access(2) would ask for the real user.
    if (faccessat(AT_FDCWD, path.c_str(), R_OK | W_OK | X_OK, AT_EACCESS) != 0)
        return Unexpected{permission_problem(path, status, errno)};
    return canonical(path);
}

std::string group_warning(const std::string& site_directory, const std::string& workers_user) {
    struct stat status;
    if (stat(site_directory.c_str(), &status) != 0) return "";
    const bool gets_group =
        geteuid() == 0 || (status.st_mode & S_ISGID) != 0 || contains(own_groups(), status.st_gid);
    if (!gets_group)
        return fmt::format(
            "{0}: this user is not in the directory's group, so proxyd may not be able to send to "
            "the socket: give the directory the set-group-ID bit (chmod g+s {0})",
            site_directory);
    const passwd* const workers = workers_user.empty() ? nullptr : getpwnam(workers_user.c_str());
    if (workers == nullptr || workers->pw_uid == 0 || workers->pw_uid == geteuid() ||
        contains(groups_of(*workers), status.st_gid))
        return "";
    return fmt::format(
        "{0}: proxyd's workers run as {1}, who is not in the directory's group {2}, so they can't "
        "send to the socket: give the directory to a group of theirs (chgrp {3} {0}; chmod g+s "
        "{0})",
        site_directory, workers_user, group_name(status.st_gid), group_name(workers->pw_gid));
}

Result<std::string, std::string> find_library() {
    const char* const wanted = getenv("PROXYD_PRELOAD");
    std::string library;
    if (wanted != nullptr && *wanted != '\0') {
        library = canonical(wanted);
        if (library.empty())
            return Unexpected{fmt::format("PROXYD_PRELOAD={}: {}", wanted, strerror(errno))};
    } else {
        const std::string self = canonical("/proc/self/exe");
        const std::string here = self.substr(0, self.rfind('/') + 1);
        const std::string installed = here + PROXYD_LIBRARY_FROM_PROGRAM;
        const std::string built = here + "../lib";
        library = canonical(installed + "/libpreload.so");
        if (library.empty()) library = canonical(built + "/libpreload.so");
        if (library.empty())
            return Unexpected{fmt::format(
                "there is no libpreload.so in {} or {}: say where it is with PROXYD_PRELOAD=PATH",
                installed, built)};
    }
    // ld.so(8): the list is separated by spaces or colons, and there is no escaping.
    if (library.find_first_of(" :") != library.npos)
        return Unexpected{library + ": LD_PRELOAD can't name a path with a space or a colon"};
    return library;
}

}  // namespace proxyd
