// SPDX-License-Identifier: MIT
#include "libpreload/site_directory.h"

#include "base/handoff/site_socket.h"
#include "libpreload/trace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

namespace proxyd {
namespace {

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

// What of one family a listener meets: nothing, everything, or one address.
struct Cover {
    enum class Extent { Nothing, One, All } extent = Extent::Nothing;
    uint8_t address[16] = {};
    size_t address_bytes = 0;
};

bool overlap(const Cover& a, const Cover& b) {
    if (a.extent == Cover::Extent::Nothing || b.extent == Cover::Extent::Nothing) return false;
    if (a.extent == Cover::Extent::All || b.extent == Cover::Extent::All) return true;
    return memcmp(a.address, b.address, a.address_bytes) == 0;
}

Cover cover_of_ipv4(const InstanceLabel& label) {
    const SocketAddress& address = label.address;
    if (address.is_wildcard())
        return label.suits(AF_INET) ? Cover{.extent = Cover::Extent::All} : Cover{};
    const bool is_mapped =
        address.family() == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&address.ipv6()) != 0;
    if (address.family() != AF_INET && !is_mapped) return {};
    Cover cover{.extent = Cover::Extent::One, .address_bytes = sizeof(in_addr)};
    memcpy(
        cover.address,
        is_mapped ? &address.ipv6().s6_addr[12] : reinterpret_cast<const uint8_t*>(&address.ipv4()),
        sizeof(in_addr));
    return cover;
}

Cover cover_of_ipv6(const InstanceLabel& label) {
    const SocketAddress& address = label.address;
    if (address.family() != AF_INET6 || IN6_IS_ADDR_V4MAPPED(&address.ipv6())) return {};
    if (address.is_wildcard()) return Cover{.extent = Cover::Extent::All};
    Cover cover{.extent = Cover::Extent::One, .address_bytes = sizeof(in6_addr)};
    memcpy(cover.address, &address.ipv6(), sizeof(in6_addr));
    return cover;
}

}  // namespace

bool listen_to_the_same(const InstanceLabel& a, const InstanceLabel& b) {
    return a.address.port() == b.address.port() && (overlap(cover_of_ipv4(a), cover_of_ipv4(b)) ||
                                                    overlap(cover_of_ipv6(a), cover_of_ipv6(b)));
}

Result<SiteDirectory> SiteDirectory::open_locked(const char* path) {
    UniqueFd fd = UniqueFd::adopt(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.is_open()) return Unexpected{Errno::last()};
    while (flock(fd.borrow().number(), LOCK_EX) != 0) {
        if (errno != EINTR) return Unexpected{Errno::last()};
    }
    return SiteDirectory(static_cast<UniqueFd&&>(fd));
}

SiteDirectory::~SiteDirectory() {
    if (fd_.is_open()) flock(fd_.borrow().number(), LOCK_UN);
}

bool SiteDirectory::clear_and_find_conflict(uint16_t edge_port, const InstanceLabel& wanted,
                                            const PreparedSockets& prepared) {
    bool is_taken = false;
    for_each_instance(fd_, edge_port, [&](const char* file_name, const InstanceLabel& label) {
        switch (probe_site_socket(fd_, file_name)) {
            case SiteSocketState::Absent:
                break;
            case SiteSocketState::Dead:
                unlinkat(fd_.borrow().number(), file_name, 0);
                trace("removed %s, which nobody has open", file_name);
                break;
            case SiteSocketState::Alive:
            case SiteSocketState::Unknown:
                is_taken =
                    is_taken || (listen_to_the_same(label, wanted) && !prepared.has_idle(label));
                break;
        }
    });
    return is_taken;
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
