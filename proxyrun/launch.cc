// SPDX-License-Identifier: MIT
#include "proxyrun/launch.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <limits.h>
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
        return Unexpected{fmt::format(
            "{0}: this user can't put a socket there ({1}): give the directory to the user that "
            "the server runs as (chown USER {0})",
            path, strerror(errno))};
    return canonical(path);
}

std::string group_warning(const std::string& site_directory) {
    struct stat status;
    if (geteuid() == 0 || stat(site_directory.c_str(), &status) != 0 ||
        (status.st_mode & S_ISGID) != 0 || status.st_gid == getegid())
        return "";
    std::vector<gid_t> groups(static_cast<size_t>(std::max(getgroups(0, nullptr), 0)));
    groups.resize(static_cast<size_t>(
        std::max(getgroups(static_cast<int>(groups.size()), groups.data()), 0)));
    if (std::find(groups.begin(), groups.end(), status.st_gid) != groups.end()) return "";
    return fmt::format(
        "{0}: this user is not in the directory's group, so proxyd may not be able to send to the "
        "socket: give the directory the set-group-ID bit (chmod g+s {0})",
        site_directory);
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
