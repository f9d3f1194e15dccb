// SPDX-License-Identifier: MIT
#include "proxyctl/site_directory.h"

#include "base/daemon/log.h"
#include "base/handoff/dns_name.h"
#include "base/handoff/site_socket.h"
#include "base/posix/directory.h"
#include "base/posix/unique_fd.h"
#include "proxyctl/text.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace proxyd {
namespace {

constexpr mode_t SiteMode = 02750;

UniqueFd open_directory(const std::string& path) {
    return UniqueFd::adopt(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

// Why `directory`, which nobody knows yet, can't be given away; "" if it was.
std::string give_to(BorrowedFd directory, const SiteDirectoryOwner& owner) {
    if (fchown(directory.number(), owner.user, owner.group) != 0) {
        const int reason = errno;  // looking names up changes it
        return fmt::format("it can't be given to owner {} and group {}: {}", user_name(owner.user),
                           group_name(owner.group), errno_text(reason));
    }
    if (fchmod(directory.number(), SiteMode) != 0) return std::string(errno_text(errno));
    // Who isn't in the group loses the set-group-ID bit without a word (chmod(2)).
    struct stat status;
    if (fstat(directory.number(), &status) != 0) return std::string(errno_text(errno));
    if ((status.st_mode & 07777) != SiteMode)
        return "only root, or a member of the group, can give it the set-group-ID bit";
    return "";
}

void look_into(BorrowedFd sites, SiteDirectoryEntry& entry) {
    const UniqueFd directory = UniqueFd::adopt(openat(
        sites.number(), entry.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!directory.is_open()) {
        entry.problems.push_back(std::string(errno_text(errno)));
        entry.is_readable = false;
        return;
    }
    for_each_entry(directory, [&](const char* name, unsigned char) {
        struct stat status;
        if (!SiteSocketName::parse(name) ||
            fstatat(directory.borrow().number(), name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISSOCK(status.st_mode))
            return;
        entry.sockets.emplace_back(name);
        if ((status.st_mode & S_IWOTH) != 0)
            entry.problems.push_back(
                fmt::format("{} is world-writable: everybody here can inject connections", name));
    });
    std::ranges::sort(entry.sockets);
}

// "" if they are not; where the set-group-ID bit is missing the group alone says nothing.
std::string why_kept_out(const struct stat& status, const WorkersUser& workers) {
    const SiteAccess access = site_access(status, workers.identity());
    if (access == SiteAccess::ClosedByMode)
        return fmt::format("its mode keeps the user of proxyd's workers ({}) out", workers.name);
    constexpr mode_t OpenToOthers = S_IROTH | S_IXOTH;
    if (access == SiteAccess::Fine || (status.st_mode & (S_ISGID | OpenToOthers)) == OpenToOthers)
        return "";
    return fmt::format("the user of proxyd's workers ({}) is not in group {}", workers.name,
                       group_name(status.st_gid));
}

SiteDirectoryEntry judge(BorrowedFd sites, const char* name, const struct stat& status,
                         const WorkersUser* workers) {
    SiteDirectoryEntry entry{name, status.st_mode & 07777, status.st_uid, status.st_gid, {}, {}};
    const auto plain = site_directory_name(name);
    if (!plain || *plain != name)
        entry.problems.emplace_back("is not a name that clients can ask for");
    if ((status.st_mode & S_ISGID) == 0)
        entry.problems.emplace_back("has no set-group-ID bit: sockets get the server's group");
    if ((status.st_mode & S_IWOTH) != 0)
        entry.problems.emplace_back("is world-writable: everybody here can receive for the name");
    if (workers != nullptr)
        if (std::string why = why_kept_out(status, *workers); !why.empty())
            entry.problems.push_back(std::move(why));
    look_into(sites, entry);
    return entry;
}

}  // namespace

Result<std::string, std::string> site_directory_name(std::string_view text) {
    const bool is_wildcard = text.starts_with("*.");
    const auto name = DnsName::parse(is_wildcard ? text.substr(2) : text);
    if (!name)
        return Unexpected{
            fmt::format("'{}' is neither a DNS name nor a wildcard such as "
                        "'*.example.org' ({})",
                        text, name_flaw_word(name.error()))};
    return std::string(is_wildcard ? "*." : "").append(name->view());
}

Result<void, std::string> make_site_directory(const std::string& sites, const std::string& name,
                                              const SiteDirectoryOwner& owner) {
    const auto error = [&](std::string_view text) {
        return Unexpected{fmt::format("cannot make {}/{}: {}", sites, name, text)};
    };
    const UniqueFd parent = open_directory(sites);
    if (!parent.is_open()) return Unexpected{fmt::format("{}: {}", sites, errno_text(errno))};
    const int parent_number = parent.borrow().number();
    struct stat status;
    if (fstatat(parent_number, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0)
        return error(errno_text(EEXIST));
    const std::string temporary = fmt::format(".{}.{}", name.substr(0, 200), getpid());
    if (mkdirat(parent_number, temporary.c_str(), 0700) != 0) return error(errno_text(errno));
    const UniqueFd made = UniqueFd::adopt(
        openat(parent_number, temporary.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    std::string problem = made.is_open() ? give_to(made, owner) : std::string(errno_text(errno));
    if (problem.empty() && renameat2(parent_number, temporary.c_str(), parent_number, name.c_str(),
                                     RENAME_NOREPLACE) != 0)
        problem = errno_text(errno);
    if (problem.empty()) return {};
    unlinkat(parent_number, temporary.c_str(), AT_REMOVEDIR);
    return error(problem);
}

Result<std::vector<SiteDirectoryEntry>, std::string> list_site_directories(
    const std::string& sites, const WorkersUser* workers) {
    const UniqueFd parent = open_directory(sites);
    if (!parent.is_open()) return Unexpected{fmt::format("{}: {}", sites, errno_text(errno))};
    std::vector<SiteDirectoryEntry> entries;
    for_each_entry(parent, [&](const char* name, unsigned char) {
        struct stat status;
        if (*name != '.' &&
            fstatat(parent.borrow().number(), name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISDIR(status.st_mode))
            entries.push_back(judge(parent, name, status, workers));
    });
    std::ranges::sort(entries, {}, &SiteDirectoryEntry::name);
    return entries;
}

}  // namespace proxyd
