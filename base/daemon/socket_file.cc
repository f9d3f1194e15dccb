// SPDX-License-Identifier: MIT
//
// It is bound under another name and renamed, so that it is never there with another mode, never
// there without somebody who answers, and takes the place of one that a crash has left behind in
// one step.
#include "base/daemon/socket_file.h"

#include "base/daemon/log.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <optional>

namespace proxyd {
namespace {

constexpr mode_t Mode = 0660;
constexpr int Backlog = 64;

struct Place {
    std::string directory;
    std::string name;
};

Place place_of(const std::string& path) {
    const size_t slash = path.rfind('/');
    if (slash == path.npos) return {".", path};
    return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

// By descriptor, since a path may be longer than sun_path. Nothing: the name itself is too long.
std::optional<sockaddr_un> address_in(BorrowedFd directory, const std::string& name) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = fmt::format("/proc/self/fd/{}/{}", directory.number(), name);
    if (path.size() >= sizeof(address.sun_path)) return std::nullopt;
    memcpy(address.sun_path, path.data(), path.size());
    return address;
}

const sockaddr* generic(const sockaddr_un& address) {
    return reinterpret_cast<const sockaddr*>(&address);
}

UniqueFd stream_socket() {
    return UniqueFd::adopt(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

// Why nothing may be put at that name; "" if there is nothing, or a socket of the dead.
std::string obstacle_at(BorrowedFd directory, const std::string& name, const sockaddr_un& address) {
    struct stat status;
    if (fstatat(directory.number(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? "" : std::string(errno_text(errno));
    if (!S_ISSOCK(status.st_mode)) return "something else than a socket is there";
    const UniqueFd probe = stream_socket();
    if (!probe.is_open()) return std::string(errno_text(errno));
    if (connect(probe.borrow().number(), generic(address), sizeof(address)) == 0 || errno == EAGAIN)
        return std::string(SocketFileTaken);
    return errno == ECONNREFUSED ? "" : std::string(errno_text(errno));
}

// If we may; before its mode lets anybody in.
void give_to_group_of(BorrowedFd directory, const std::string& name) {
    struct stat status;
    if (fstat(directory.number(), &status) == 0)
        (void)!fchownat(directory.number(), name.c_str(), static_cast<uid_t>(-1), status.st_gid,
                        AT_SYMLINK_NOFOLLOW);
}

// Why it can't be had; "" if it is there.
std::string put_into_place(BorrowedFd listening, BorrowedFd directory, const std::string& name,
                           SocketFileGroup group) {
    const std::string temporary = fmt::format(".{}.{}", name, getpid());
    const auto address = address_in(directory, temporary);
    if (!address) return "the file name is too long";
    unlinkat(directory.number(), temporary.c_str(), 0);  // of a crash, long ago
    // The mode that the file is born with is the socket's own, less the umask: never too wide.
    if (fchmod(listening.number(), Mode) == 0 &&
        bind(listening.number(), generic(*address), sizeof(*address)) == 0) {
        if (group == SocketFileGroup::OfDirectory) give_to_group_of(directory, temporary);
        if (fchmodat(directory.number(), temporary.c_str(), Mode, 0) == 0 &&
            listen(listening.number(), Backlog) == 0 &&
            renameat(directory.number(), temporary.c_str(), directory.number(), name.c_str()) == 0)
            return "";
        const int reason = errno;
        unlinkat(directory.number(), temporary.c_str(), 0);
        return std::string(errno_text(reason));
    }
    return std::string(errno_text(errno));
}

}  // namespace

Result<UniqueFd, std::string> listen_at_socket_file(const std::string& path,
                                                    SocketFileGroup group) {
    const Place place = place_of(path);
    const UniqueFd directory =
        UniqueFd::adopt(open(place.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory.is_open()) return Unexpected{std::string(errno_text(errno))};
    const auto address = address_in(directory, place.name);
    if (!address) return Unexpected{std::string("the file name is too long")};
    std::string problem = obstacle_at(directory, place.name, *address);
    UniqueFd listening = stream_socket();
    if (problem.empty() && !listening.is_open()) problem = errno_text(errno);
    if (problem.empty()) problem = put_into_place(listening, directory, place.name, group);
    if (!problem.empty()) return Unexpected{problem};
    return listening;
}

// A socket doesn't know the inode of its file; but that it is ours who answers there can be asked:
// the peer of a connection to it is this process.
void remove_own_socket_file(const std::string& path) {
    const Place place = place_of(path);
    const UniqueFd directory =
        UniqueFd::adopt(open(place.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const UniqueFd probe = stream_socket();
    if (!directory.is_open() || !probe.is_open()) return;
    const auto address = address_in(directory, place.name);
    if (!address || connect(probe.borrow().number(), generic(*address), sizeof(*address)) != 0)
        return;
    ucred who{};
    socklen_t size = sizeof(who);
    if (getsockopt(probe.borrow().number(), SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 &&
        who.pid == getpid())
        unlinkat(directory.borrow().number(), place.name.c_str(), 0);
}

}  // namespace proxyd
