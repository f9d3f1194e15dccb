// SPDX-License-Identifier: MIT
#include "proxyd/site_warnings.h"

#include "base/daemon/log.h"
#include "base/daemon/site_access.h"
#include "base/posix/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>

namespace proxyd {
namespace {

// Main waits for the look, which takes some microseconds for each.
constexpr size_t SitesEntriesMax = 20'000;
constexpr size_t SitesNamedMax = 20;

// Judges directories for one user; asks for each group's name once.
class Judge {
  public:
    explicit Judge(const User& user) : user_(user), gid_(user.gid), groups_(user.groups) {
        if (user.is_somebody_else) return;
        gid_ = getegid();  // the workers keep what we have
        groups_.resize(static_cast<size_t>(std::max(getgroups(0, nullptr), 0)));
        if (getgroups(static_cast<int>(groups_.size()), groups_.data()) < 0) groups_.clear();
    }

    SiteAccess access_to(const struct stat& directory) const {
        return site_access(directory, {user_.uid, gid_, groups_});
    }

    // "" if they are not.
    std::string why_kept_out(const struct stat& directory) {
        switch (access_to(directory)) {
            case SiteAccess::Fine:
                return "";
            case SiteAccess::ForeignGroup:
                return fmt::format(
                    "the workers' user {} is not in its group {}, so that sockets there "
                    "may be closed to them (proxyctl site add says how to mend it)",
                    user_.name, group_name(directory.st_gid));
            case SiteAccess::ClosedByMode:
                return fmt::format(
                    "its mode {:04o} keeps the workers' user {} out (proxyctl site add "
                    "says how to mend it)",
                    directory.st_mode & 07777, user_.name);
        }
        return "";
    }

  private:
    const std::string& group_name(gid_t number) {
        std::string& name = group_names_[number];
        if (!name.empty()) return name;
        const group* const found = getgrgid(number);
        return name = found != nullptr ? found->gr_name : std::to_string(number);
    }

    const User& user_;
    gid_t gid_;
    std::vector<gid_t> groups_;
    std::map<gid_t, std::string> group_names_;
};

void warn_of_site(const SitePlace& site, Judge* judge, std::vector<std::string>& warnings) {
    struct stat status;
    const bool is_there = stat(site.directory.c_str(), &status) == 0;
    if (is_there && !S_ISDIR(status.st_mode)) errno = ENOTDIR;
    if (!is_there || !S_ISDIR(status.st_mode)) {
        warnings.push_back(fmt::format("{}: {}: {}; clients wait until it is there", site.place,
                                       site.directory, errno_text(errno)));
        return;
    }
    const std::string why = judge != nullptr ? judge->why_kept_out(status) : "";
    if (!why.empty())
        warnings.push_back(fmt::format("{}: {}: {}", site.place, site.directory, why));
}

// The same directories each time, whatever order the file system has.
void warn_of_directories_in_sites(const Configuration& configuration, Judge& judge,
                                  std::vector<std::string>& warnings) {
    const UniqueFd sites =
        UniqueFd::adopt(open(configuration.sites.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!sites.is_open()) return;
    std::map<std::string, struct stat> closed;
    for_each_entry(
        sites,
        [&](const char* name, unsigned char) {
            struct stat status;
            if (*name != '.' &&
                fstatat(sites.borrow().number(), name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                S_ISDIR(status.st_mode) && judge.access_to(status) != SiteAccess::Fine)
                closed.emplace(name, status);
        },
        SitesEntriesMax);
    size_t named = 0;
    for (const auto& [name, status] : closed) {
        if (named++ == SitesNamedMax) {
            warnings.push_back(fmt::format(
                "{}: {}: {} more directories there that the workers may "
                "not use (proxyctl site list names them)",
                configuration.sites_place, configuration.sites, closed.size() - SitesNamedMax));
            return;
        }
        std::string escaped;
        append_escaped(escaped, name);
        warnings.push_back(fmt::format("{}: {}/{}: {}", configuration.sites_place,
                                       configuration.sites, escaped, judge.why_kept_out(status)));
    }
}

}  // namespace

std::vector<std::string> warnings_of_sites(const Configuration& configuration, const User* user) {
    std::vector<std::string> warnings;
    std::optional<Judge> judge;
    if (user != nullptr) judge.emplace(*user);
    for (const SitePlace& site : places_of_sites(configuration))
        warn_of_site(site, judge ? &*judge : nullptr, warnings);
    if (judge && !configuration.sites.empty())
        warn_of_directories_in_sites(configuration, *judge, warnings);
    return warnings;
}

}  // namespace proxyd
