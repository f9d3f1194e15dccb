// SPDX-License-Identifier: MIT
#include "proxyd/site_directory_view.h"

#include "base/posix/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <tuple>

namespace proxyd {
namespace {

SiteSocketView look_at_socket(BorrowedFd directory, const char* file_name,
                              const SiteSocketName& name, const struct stat& status) {
    SiteSocketView view;
    view.file_name = file_name;
    view.port = name.port;
    view.instance = name.instance;
    errno = 0;
    view.state = probe_site_socket(directory, file_name);
    view.is_permitted = view.state != SiteSocketState::Unknown || errno != EACCES;
    view.is_stream = view.state == SiteSocketState::Unknown && errno == EPROTOTYPE;
    view.mode = status.st_mode & 07777;
    view.owner = status.st_uid;
    view.group = status.st_gid;
    return view;
}

}  // namespace

void SiteDirectoryView::take_over(const struct stat& status) {
    mode = status.st_mode & 07777;
    owner = status.st_uid;
    group = status.st_gid;
}

SiteDirectoryView SiteDirectoryView::look(const std::string& path, bool follows_links,
                                          size_t sockets_max) {
    SiteDirectoryView view;
    const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (follows_links ? 0 : O_NOFOLLOW);
    const UniqueFd directory = UniqueFd::adopt(open(path.c_str(), flags));
    struct stat status;
    // "." is found only by who may enter it; one that may be read, but not entered, is of no use.
    if (!directory.is_open() || fstatat(directory.borrow().number(), ".", &status, 0) != 0) {
        view.error = errno;
        view.is_known =
            fstatat(AT_FDCWD, path.c_str(), &status, follows_links ? 0 : AT_SYMLINK_NOFOLLOW) == 0;
        if (view.is_known) view.take_over(status);
        return view;
    }
    view.is_known = true;
    view.take_over(status);
    for_each_entry(
        directory,
        [&](const char* file_name, unsigned char) {
            const auto name = SiteSocketName::parse(file_name);
            if (!name || view.sockets.size() >= sockets_max) return;
            if (fstatat(directory.borrow().number(), file_name, &status, AT_SYMLINK_NOFOLLOW) ==
                    0 &&
                S_ISSOCK(status.st_mode))
                view.sockets.push_back(look_at_socket(directory, file_name, *name, status));
        },
        SiteEntriesMax);
    std::ranges::sort(view.sockets, {}, [](const SiteSocketView& socket) {
        return std::tie(socket.port, socket.file_name);
    });
    return view;
}

}  // namespace proxyd
