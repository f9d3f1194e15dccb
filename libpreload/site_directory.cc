// SPDX-License-Identifier: MIT
#include "libpreload/site_directory.h"

#include "libpreload/process_descriptors.h"
#include "libpreload/trace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>
#include <atomic>

namespace proxyd {
namespace {

constexpr int64_t LockPatienceMs = 2000;
// A server may bind many addresses, and shouldn't wait for each.
constexpr uint32_t HopelessSeconds = 10;
constexpr long LockPauseNs = 5'000'000;

// Calls visit(file name, label) for each socket of `edge_port` that a server under libpreload made.
// By system call: opendir(3) takes heap memory.
template <typename Visit>
void for_each_instance(BorrowedFd directory, uint16_t edge_port, Visit visit) {
    alignas(dirent64) char entries[4096];
    lseek(directory.number(), 0, SEEK_SET);
    while (true) {
        const long size = syscall(SYS_getdents64, directory.number(), entries, sizeof(entries));
        if (size <= 0) return;
        for (long offset = 0; offset < size;) {
            const auto* entry = reinterpret_cast<const dirent64*>(entries + offset);
            offset += entry->d_reclen;
            const auto name = SiteSocketName::parse(entry->d_name);
            if (!name || name->port != edge_port) continue;
            const auto label = InstanceLabel::parse(name->instance);
            if (label) visit(static_cast<const char*>(entry->d_name), *label);
        }
    }
}

// Whether this process has the socket open that was bound to that.
bool has_open(const BoundName& bound_name) {
    bool is_open = false;
    for_each_descriptor(getpid(), [&](int number, std::string_view link) {
        is_open = is_open || (link.starts_with("socket:") &&
                              BoundName::of(BorrowedFd(number)).view() == bound_name.view());
    });
    return is_open;
}

Conflict conflict_with(const BoundName& bound_name, const PreparedSockets& prepared) {
    if (const PreparedSocket* const ours = prepared.find(bound_name))
        return ours->is_idle() ? Conflict::None : Conflict::Own;
    return has_open(bound_name) ? Conflict::Own : Conflict::Other;
}

int64_t milliseconds_now() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

// When the lock couldn't be had last, in seconds; 0: never.
constinit std::atomic<uint32_t> hopeless_since{0};

bool is_hopeless(uint32_t now) {
    const uint32_t since = hopeless_since.load(std::memory_order_relaxed);
    return since != 0 && now - since < HopelessSeconds;
}

// False if others have had the lock all the time.
bool lock(BorrowedFd directory) {
    const int64_t start = milliseconds_now();
    const auto start_seconds = static_cast<uint32_t>(start / 1000);
    const int64_t deadline = start + (is_hopeless(start_seconds) ? 0 : LockPatienceMs);
    while (flock(directory.number(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EINTR && errno != EWOULDBLOCK) return false;
        if (milliseconds_now() >= deadline) {
            if (deadline != start)
                hopeless_since.store(std::max(start_seconds, 1u), std::memory_order_relaxed);
            return false;
        }
        const timespec pause{.tv_sec = 0, .tv_nsec = LockPauseNs};
        nanosleep(&pause, nullptr);
    }
    return true;
}

}  // namespace

Result<SiteDirectory> SiteDirectory::open_locked(const char* path) {
    UniqueFd fd = UniqueFd::adopt(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.is_open()) return Unexpected{Errno::last()};
    const bool is_locked = lock(fd);
    if (!is_locked) trace("somebody holds the lock of %s: nothing is cleared away there now", path);
    return SiteDirectory(static_cast<UniqueFd&&>(fd), is_locked);
}

SiteDirectory::~SiteDirectory() {
    if (fd_.is_open() && is_locked_) flock(fd_.borrow().number(), LOCK_UN);
}

Conflict SiteDirectory::clear_and_find_conflict(uint16_t edge_port, const InstanceLabel& wanted,
                                                const PreparedSockets& prepared) {
    Conflict found = Conflict::None;
    const auto meet = [&](Conflict conflict) {
        if (found != Conflict::Own && conflict != Conflict::None) found = conflict;
    };
    for_each_instance(fd_, edge_port, [&](const char* file_name, const InstanceLabel& label) {
        BoundName bound_name;
        switch (probe_site_socket(fd_, file_name, &bound_name)) {
            case SiteSocketState::Absent:
                break;
            case SiteSocketState::Dead:
                if (!is_locked_) break;
                unlinkat(fd_.borrow().number(), file_name, 0);
                trace("removed %s, which nobody has open", file_name);
                break;
            case SiteSocketState::Alive:
                if (listen_to_the_same(label, wanted)) meet(conflict_with(bound_name, prepared));
                break;
            case SiteSocketState::Unknown:
                if (listen_to_the_same(label, wanted) && !prepared.has_idle(label))
                    meet(Conflict::Other);
                break;
        }
    });
    return found;
}

bool SiteDirectory::has(const char* file_name, const BoundName& bound_name) const {
    BoundName found;
    struct stat status;
    switch (probe_site_socket(fd_, file_name, &found)) {
        case SiteSocketState::Alive:
            return found.view() == bound_name.view();
        case SiteSocketState::Dead:
            return false;
        case SiteSocketState::Absent:  // or it can't be reached, for lack of /proc
            return fstatat(fd_.borrow().number(), file_name, &status, AT_SYMLINK_NOFOLLOW) == 0 ||
                   errno != ENOENT;
        case SiteSocketState::Unknown:
            return true;
    }
    return true;
}

Result<void> SiteDirectory::place(const char* file_name, const SiteSocketName& name,
                                  bool replaces) {
    SiteSocketName::Text text;
    name.format(text);
    const int number = fd_.borrow().number();
    // By system call: musl has had no renameat2 for long. Not every file system can do it.
    if (!replaces) {
        if (syscall(SYS_renameat2, number, file_name, number, text.data(), RENAME_NOREPLACE) == 0)
            return {};
        if (errno != EINVAL && errno != ENOSYS) return Unexpected{Errno::last()};
    }
    if (renameat(number, file_name, number, text.data()) != 0) return Unexpected{Errno::last()};
    return {};
}

void SiteDirectory::retire_conflicts(uint16_t edge_port, const InstanceLabel& chosen) {
    for_each_instance(fd_, edge_port, [&](const char* file_name, const InstanceLabel& label) {
        const bool is_chosen = label.address == chosen.address && label.index == chosen.index &&
                               label.is_ipv6_only == chosen.is_ipv6_only;
        if (is_chosen || !listen_to_the_same(label, chosen)) return;
        unlinkat(fd_.borrow().number(), file_name, 0);
        trace("took over from %s", file_name);
    });
}

uint32_t SiteDirectory::free_index(uint16_t edge_port, const InstanceLabel& wanted) const {
    InstanceLabel label = wanted;
    for (label.index = 0; label.index < InstanceLabel::IndexMax; label.index++) {
        InstanceLabel::Text label_text;
        SiteSocketName::Text name_text;
        const SiteSocketName name{edge_port, label.format(label_text)};
        name.format(name_text);
        struct stat status;
        if (fstatat(fd_.borrow().number(), name_text.data(), &status, AT_SYMLINK_NOFOLLOW) != 0)
            break;
    }
    return label.index;
}

}  // namespace proxyd
