// SPDX-License-Identifier: MIT
#include "proxyrun/launch.h"

#include "base/handoff/dns_name.h"
#include "proxyrun/advice.h"
#include "proxyrun/running_proxyd.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace proxyd {
namespace {

constexpr const char* SitesDirectory = "/run/proxyd/sites";

// Rather than a path.
bool is_site_name(const std::string& site) {
    return site.find('/') == site.npos && site != "." && site != "..";
}

// The path without links, "." and ".."; "" if there is nothing.
std::string canonical(const std::string& path) {
    char resolved[PATH_MAX];
    return realpath(path.c_str(), resolved) != nullptr ? resolved : "";
}

bool is_directory(const std::string& path) {
    struct stat status;
    return stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

std::string permission_problem(const std::string& path, const struct stat& status, int reason) {
    const std::string us = name_of_user(geteuid());
    const std::string what =
        fmt::format("{}: {} can't put a socket there ({})", path, us, strerror(reason));
    const std::string word = shell_word(path);
    if (reason != EACCES) return what;
    if (status.st_uid == geteuid())
        return fmt::format("{}, though the directory is {}'s: chmod u+rwx {}", what, us, word);
    const std::string owner = name_of_user(status.st_uid);
    return fmt::format(
        "{}: the directory is {}'s; start the server as that user (sudo -u {} {} ...), or give the "
        "directory to this one (as root: chown {} {})",
        what, owner, owner, typed_proxyrun(), us, word);
}

// The command that makes the site directory: proxyctl's, as long as it makes directories of such
// names and is there.
std::string how_to_make(const std::string& path, const std::string& control_socket) {
    const size_t slash = path.rfind('/');
    const std::string name = path.substr(slash + 1);
    const bool is_default = path.substr(0, slash) == SitesDirectory;
    const std::string sites =
        is_default ? SitesDirectory : canonical(slash == 0 ? "/" : path.substr(0, slash));
    const std::string proxyctl = typed_proxyctl();
    const bool is_name = DnsName::parse(name.starts_with("*.") ? name.substr(2) : name).has_value();
    if (sites.empty() || !is_name || proxyctl.empty())
        return fmt::format("mkdir -p {}", shell_word(path));
    const bool may_make = faccessat(AT_FDCWD, sites.c_str(), W_OK | X_OK, AT_EACCESS) == 0;
    std::string command =
        fmt::format("{}{}{} site add {} --owner {}", may_make ? "" : as_root(),
                    is_directory(sites) ? "" : fmt::format("mkdir -p {} && ", sites), proxyctl,
                    shell_word(name), shell_word(name_of_user(geteuid())));
    if (!is_default) command += " --sites " + shell_word(sites);
    if (control_socket != DefaultControlSocket)
        command += " --control " + shell_word(canonical(control_socket).empty()
                                                  ? control_socket
                                                  : canonical(control_socket));
    return command;
}

// `site` as it was given.
std::string absence_problem(const std::string& site, const std::string& path,
                            const std::string& control_socket) {
    const std::string without_slash = site.substr(0, site.find_last_not_of('/') + 1);
    if (without_slash.size() < site.size() && is_site_name(without_slash))
        return fmt::format(
            "{}: with a slash it is a path, and there is no such directory here; the site of that "
            "name is --site {}",
            site, shell_word(without_slash));
    const std::string here =
        is_site_name(site) && is_directory(site)
            ? fmt::format("; the directory here is --site ./{}", shell_word(site))
            : "";
    const std::string command = how_to_make(path, control_socket);
    const bool has_owner = geteuid() == 0 && command.find(" --owner ") != command.npos;
    return fmt::format("{}: there is no such site directory: make it ({}){}{}", path, command,
                       has_owner ? "; --owner is who will start the server" : "", here);
}

}  // namespace

Result<std::string, std::string> usable_site(const std::string& site,
                                             const std::string& control_socket) {
    std::string path = is_site_name(site) ? fmt::format("{}/{}", SitesDirectory, site) : site;
    path.resize(std::max<size_t>(path.find_last_not_of('/') + 1, 1));
    struct stat status;
    if (stat(path.c_str(), &status) != 0) {
        if (errno == ENOENT) return Unexpected{absence_problem(site, path, control_socket)};
        const int reason = errno;
        return Unexpected{fmt::format(
            "{}: {}{}", path, strerror(reason),
            reason == EACCES ? fmt::format(": a directory above keeps {} out (namei -l {})",
                                           name_of_user(geteuid()), shell_word(path))
                             : "")};
    }
    if (!S_ISDIR(status.st_mode)) return Unexpected{path + " is no directory"};
    // As bind(2) in the server will be asked: access(2) would ask for the real user.
    if (faccessat(AT_FDCWD, path.c_str(), R_OK | W_OK | X_OK, AT_EACCESS) != 0)
        return Unexpected{permission_problem(path, status, errno)};
    return canonical(path);
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
