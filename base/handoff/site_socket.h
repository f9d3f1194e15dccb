// SPDX-License-Identifier: MIT
//
// Site sockets on disk: how they are called, how one is put into place, whether one is alive.
// Used by proxyd (to find them) and by receivers (to make them). Needs libc only.
//
// A site directory holds <port>.sock and <port>.<instance>.sock; names that begin with a dot are
// sockets that are not ready yet and are nobody's business.
#pragma once

#include "base/posix/result.h"
#include "base/posix/unique_fd.h"

#include <stdint.h>
#include <sys/un.h>

#include <array>
#include <optional>
#include <string_view>

namespace proxyd {

struct SiteSocketName {
    // "." + "65535" + "." + instance + ".sock" + NUL. With "/proc/self/fd/<fd>/" it fits sun_path.
    static constexpr size_t InstanceBytesMax = 64;
    static constexpr size_t TextBytesMax = 1 + 5 + 1 + InstanceBytesMax + 5 + 1;
    using Text = std::array<char, TextBytesMax>;

    uint16_t port = 0;
    std::string_view instance;  // "" for <port>.sock

    // NUL-terminated file name in `text`; the instance must not be longer than InstanceBytesMax.
    std::string_view format(Text& text) const;
    // Nothing for any other file name; `instance` points into `file_name`.
    static std::optional<SiteSocketName> parse(std::string_view file_name);
};

// The address of `file_name` (NUL-terminated) in the directory: by `path_prefix`, which ends with a
// slash, if the whole fits sun_path, else as "/proc/self/fd/<directory>/<file_name>".
sockaddr_un address_in(BorrowedFd directory, std::string_view path_prefix, const char* file_name);

// What a Unix socket was bound to, without the directory; "" for one that is bound to no path. The
// file may have been renamed since. Receivers that make their sockets here under a hidden name of
// their own (unique_instance) know their own file by it.
struct BoundName {
    std::array<char, sizeof(sockaddr_un::sun_path) + 1> text{};  // NUL-terminated

    static BoundName of(BorrowedFd socket);
    static BoundName of_peer(BorrowedFd connected);
    std::string_view view() const { return text.data(); }
};

// "<kind>-<number>": no other living socket on this machine has the same one, in whatever container
// it was made. Lies in `text`.
std::string_view unique_instance(std::string_view kind, BorrowedFd socket,
                                 SiteSocketName::Text& text);

enum class SiteSocketState { Alive, Dead, Absent, Unknown };

// Whether anybody has the socket `file_name` (NUL-terminated) in `directory` open: connects to it,
// which leaves no trace in its queue. Unknown: not permitted to connect, or not a datagram socket.
// Alive: `bound_name`, if given, is what the socket behind the file was bound to.
SiteSocketState probe_site_socket(BorrowedFd directory, const char* file_name,
                                  BoundName* bound_name = nullptr);

// Binds the datagram socket `receiver` under a hidden name (the file name with a dot before it),
// and gives it mode 0660 and the directory's group. Nobody sends to it until it is renamed.
// `path_prefix`: how the directory is called in that name, e.g. "/run/proxyd/sites/blog/".
Result<void> bind_hidden_site_socket(BorrowedFd receiver, BorrowedFd directory,
                                     std::string_view path_prefix, const SiteSocketName& name);

// The same, and renames it into place, which replaces whatever was there in one step.
// getsockname(2) goes on to give the hidden name.
Result<void> bind_site_socket(BorrowedFd receiver, BorrowedFd directory,
                              std::string_view path_prefix, const SiteSocketName& name);

}  // namespace proxyd
