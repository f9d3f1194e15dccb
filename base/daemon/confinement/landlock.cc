// SPDX-License-Identifier: MIT
#include "base/daemon/confinement/landlock.h"

#include "base/daemon/log.h"
#include "base/posix/unique_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace proxyd {
namespace {

// Newer than the headers of Debian 12 (landlock(7); linux/landlock.h of Linux 6.12).
struct LandlockRuleset {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
    uint64_t scoped;
};
struct __attribute__((packed)) LandlockPathRule {
    uint64_t allowed_access;
    int32_t parent_fd;
};
constexpr uint64_t ReadFile = 1 << 2, ReadDirectory = 1 << 3;
constexpr uint64_t BindTcp = 1 << 0, ConnectTcp = 1 << 1;
constexpr uint64_t AbstractUnixSockets = 1 << 0, Signals = 1 << 1;
constexpr uint32_t QueryVersion = 1;
constexpr int PathBeneath = 1;

#ifdef PROXYD_SANITIZED
constexpr bool IsSanitized = true;
#else
constexpr bool IsSanitized = false;
#endif

uint64_t file_accesses_of(long version) {
    if (version >= 5) return (1 << 16) - 1;  // ... REFER, TRUNCATE, IOCTL_DEV
    if (version >= 3) return (1 << 15) - 1;
    if (version == 2) return (1 << 14) - 1;
    return (1 << 13) - 1;
}

Unexpected<std::string> failed(std::string_view what) {
    return Unexpected{fmt::format("cannot enter the sandbox: {}: {}", what, errno_text(errno))};
}

// A file can't have a directory's rights (EINVAL).
uint64_t access_bits(const PathRule& rule, BorrowedFd place) {
    struct stat status;
    const bool is_directory = fstat(place.number(), &status) == 0 && S_ISDIR(status.st_mode);
    const uint64_t directory = is_directory ? ReadDirectory : 0;
    return rule.access == PathAccess::ReadFiles ? directory | ReadFile : directory;
}

Result<void, std::string> add_rule(BorrowedFd ruleset, const PathRule& rule) {
    const UniqueFd place = UniqueFd::adopt(open(rule.path.c_str(), O_PATH | O_CLOEXEC));
    if (!place.is_open() && errno == ENOENT) return {};
    if (!place.is_open()) return failed(rule.path);
    const LandlockPathRule kernel_rule{access_bits(rule, place), place.borrow().number()};
    if (kernel_rule.allowed_access == 0) return {};
    if (syscall(SYS_landlock_add_rule, ruleset.number(), PathBeneath, &kernel_rule, 0) != 0)
        return failed("landlock_add_rule");
    return {};
}

}  // namespace

int landlock_version() {
    const long version = syscall(SYS_landlock_create_ruleset, nullptr, 0, QueryVersion);
    return version < 1 ? 0 : static_cast<int>(version);  // before 5.13, or told not to
}

Result<void, std::string> enter_landlock(const LandlockPolicy& policy) {
    const int version = landlock_version();
    if (version == 0 || IsSanitized) return {};
    const uint64_t tcp =
        (policy.may_bind_tcp ? 0 : BindTcp) | (policy.may_connect_tcp ? 0 : ConnectTcp);
    LandlockRuleset rules{file_accesses_of(version), version >= 4 ? tcp : 0,
                          version >= 6 ? AbstractUnixSockets | Signals : 0};
    const size_t size = version >= 6 ? sizeof(rules) : version >= 4 ? 16 : 8;
    const UniqueFd ruleset =
        UniqueFd::adopt(static_cast<int>(syscall(SYS_landlock_create_ruleset, &rules, size, 0)));
    if (!ruleset.is_open()) return failed("landlock_create_ruleset");
    for (const PathRule& rule : policy.paths)
        if (const auto added = add_rule(ruleset, rule); !added) return added;
    if (syscall(SYS_landlock_restrict_self, ruleset.borrow().number(), 0) != 0)
        return failed("landlock_restrict_self");
    return {};
}

}  // namespace proxyd
