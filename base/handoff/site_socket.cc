// SPDX-License-Identifier: MIT
#include "base/handoff/site_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <charconv>

namespace proxyd {
namespace {

constexpr std::string_view Suffix = ".sock";
constexpr mode_t SiteSocketMode = 0660;

// The name with a dot before it.
struct HiddenName {
    explicit HiddenName(const SiteSocketName& name) {
        SiteSocketName::Text name_text;
        name.format(name_text);
        snprintf(text, sizeof(text), ".%s", name_text.data());
    }
    const char* visible() const { return text + 1; }

    char text[1 + SiteSocketName::TextBytesMax];
};

template <typename Ask>
BoundName bound_name(BorrowedFd socket, Ask ask) {
    BoundName name;
    sockaddr_un address{};
    socklen_t length = sizeof(address);
    if (ask(socket.number(), reinterpret_cast<sockaddr*>(&address), &length) != 0 ||
        address.sun_family != AF_UNIX || length > sizeof(address) || address.sun_path[0] == '\0')
        return name;
    const std::string_view path(address.sun_path,
                                strnlen(address.sun_path, sizeof(address.sun_path)));
    const size_t start = path.rfind('/') + 1;
    memcpy(name.text.data(), path.data() + start, path.size() - start);
    return name;
}

int bind_to(BorrowedFd socket, const sockaddr_un& address) {
    return bind(socket.number(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

}  // namespace

sockaddr_un address_in(BorrowedFd directory, std::string_view path_prefix, const char* file_name) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    char* const path = address.sun_path;
    if (!path_prefix.empty() && path_prefix.size() + strlen(file_name) < sizeof(address.sun_path)) {
        memcpy(path, path_prefix.data(), path_prefix.size());
        strcpy(path + path_prefix.size(), file_name);
    } else {
        snprintf(path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", directory.number(),
                 file_name);
    }
    return address;
}

std::string_view SiteSocketName::format(Text& text) const {
    char* out = std::to_chars(text.data(), text.data() + text.size(), port).ptr;
    if (!instance.empty()) {
        *out++ = '.';
        memcpy(out, instance.data(), instance.size());
        out += instance.size();
    }
    memcpy(out, Suffix.data(), Suffix.size());
    out += Suffix.size();
    *out = '\0';
    return {text.data(), static_cast<size_t>(out - text.data())};
}

std::optional<SiteSocketName> SiteSocketName::parse(std::string_view file_name) {
    if (!file_name.ends_with(Suffix)) return std::nullopt;
    std::string_view stem = file_name;
    stem.remove_suffix(Suffix.size());
    if (stem.empty()) return std::nullopt;
    SiteSocketName name;
    const char* const end = stem.data() + stem.size();
    const auto [rest, error] = std::from_chars(stem.data(), end, name.port);
    if (error != std::errc() || name.port == 0 || stem[0] == '0') return std::nullopt;
    if (rest == end) return name;
    if (*rest != '.' || rest + 1 == end) return std::nullopt;
    name.instance = {rest + 1, static_cast<size_t>(end - rest - 1)};
    if (name.instance.size() > SiteSocketName::InstanceBytesMax) return std::nullopt;
    return name;
}

BoundName BoundName::of(BorrowedFd socket) {
    return bound_name(socket, getsockname);
}

BoundName BoundName::of_peer(BorrowedFd connected) {
    return bound_name(connected, getpeername);
}

// The inode number in sockfs, which all network and PID namespaces share.
std::string_view unique_instance(std::string_view kind, BorrowedFd socket,
                                 SiteSocketName::Text& text) {
    struct stat status {};
    fstat(socket.number(), &status);
    const int length =
        snprintf(text.data(), text.size(), "%.*s-%llu", static_cast<int>(kind.size()), kind.data(),
                 static_cast<unsigned long long>(status.st_ino));
    return {text.data(), static_cast<size_t>(length)};
}

SiteSocketState probe_site_socket(BorrowedFd directory, const char* file_name,
                                  BoundName* bound_name) {
    const UniqueFd probe = UniqueFd::adopt(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!probe.is_open()) return SiteSocketState::Unknown;
    const sockaddr_un address = address_in(directory, {}, file_name);
    if (connect(probe.borrow().number(), reinterpret_cast<const sockaddr*>(&address),
                sizeof(address)) == 0) {
        if (bound_name != nullptr) *bound_name = BoundName::of_peer(probe);
        return SiteSocketState::Alive;
    }
    switch (errno) {
        case ECONNREFUSED:
            return SiteSocketState::Dead;
        case ENOENT:
            return SiteSocketState::Absent;
        default:
            return SiteSocketState::Unknown;
    }
}

Result<void> bind_hidden_site_socket(BorrowedFd receiver, BorrowedFd directory,
                                     std::string_view path_prefix, const SiteSocketName& name) {
    const HiddenName hidden(name);
    // The mode that the file is born with is the socket's own, less the umask: never too wide.
    if (fchmod(receiver.number(), SiteSocketMode) != 0) return Unexpected{Errno::last()};
    const sockaddr_un address = address_in(directory, path_prefix, hidden.text);
    if (bind_to(receiver, address) != 0) {
        // What a crash between bind and rename left behind.
        if (errno != EADDRINUSE || unlinkat(directory.number(), hidden.text, 0) != 0 ||
            bind_to(receiver, address) != 0)
            return Unexpected{Errno::last()};
    }

    // Only root or a member may give the file that group; where neither holds, the mode still says
    // who may send, and a directory with the set-group-ID bit has done it already.
    struct stat status;
    if (fstat(directory.number(), &status) == 0)
        (void)!fchownat(directory.number(), hidden.text, static_cast<uid_t>(-1), status.st_gid, 0);
    if (fchmodat(directory.number(), hidden.text, SiteSocketMode, 0) != 0) {
        const Errno reason = Errno::last();
        unlinkat(directory.number(), hidden.text, 0);
        return Unexpected{reason};
    }
    return {};
}

Result<void> bind_site_socket(BorrowedFd receiver, BorrowedFd directory,
                              std::string_view path_prefix, const SiteSocketName& name) {
    const auto bound = bind_hidden_site_socket(receiver, directory, path_prefix, name);
    if (!bound) return bound;
    const HiddenName hidden(name);
    if (renameat(directory.number(), hidden.text, directory.number(), hidden.visible()) != 0) {
        const Errno reason = Errno::last();
        unlinkat(directory.number(), hidden.text, 0);
        return Unexpected{reason};
    }
    return {};
}

}  // namespace proxyd
