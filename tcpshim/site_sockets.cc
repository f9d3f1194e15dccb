// SPDX-License-Identifier: MIT
#include "tcpshim/site_sockets.h"

#include "base/daemon/log.h"
#include "base/daemon/service_manager.h"
#include "base/handoff/site_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>

namespace proxyd::shim {

namespace {

// The directory may have been named through links.
bool is_in(const PassedSocket& socket, BorrowedFd directory, const std::string& file) {
    const size_t slash = socket.path.rfind('/');
    struct stat of_socket, of_directory;
    return slash != socket.path.npos && socket.path.substr(slash + 1) == file &&
           stat(socket.path.substr(0, slash + 1).c_str(), &of_socket) == 0 &&
           fstat(directory.number(), &of_directory) == 0 &&
           of_socket.st_dev == of_directory.st_dev && of_socket.st_ino == of_directory.st_ino;
}

}  // namespace

Result<std::vector<PassedSocket>, std::string> adopt_passed_sockets() {
    const int count = sd_listen_fds(1);
    if (count < 0)
        return Unexpected{
            fmt::format("LISTEN_FDS: the sockets of the service manager can't be taken: {}",
                        errno_text(-count))};
    std::vector<PassedSocket> sockets;
    for (int i = 0; i < count; i++) {
        PassedSocket passed{UniqueFd::adopt(SD_LISTEN_FDS_START + i), ""};
        passed.path = path_of_site_socket(passed.fd);
        if (passed.path.empty())
            return Unexpected{fmt::format(
                "LISTEN_FDS: descriptor {} is no site socket: want ListenDatagram=DIR/PORT.sock",
                SD_LISTEN_FDS_START + i)};
        sockets.push_back(std::move(passed));
    }
    return sockets;
}

struct OpenSiteSockets::Socket {
    UniqueFd fd;
    UniqueFd directory;
    std::string directory_path;
    uint16_t port = 0;
    std::string instance;
    std::string place;  // of the site in the configuration
    ino_t inode = 0;    // of its file, once it is in place
    bool is_passed = false;

    std::string file() const {
        SiteSocketName::Text text;
        return std::string(SiteSocketName{.port = port, .instance = instance}.format(text));
    }
    std::string path() const { return fmt::format("{}/{}", directory_path, file()); }
    std::string hidden_file() const { return "." + file(); }
};

std::shared_ptr<OpenSiteSockets::Socket> OpenSiteSockets::open_one(
    const SiteConfiguration& site, uint16_t port, const std::string& instance,
    std::span<const PassedSocket> passed, std::vector<std::string>& problems) {
    auto made = std::make_shared<Socket>();
    made->directory_path = site.directory;
    made->port = port;
    made->instance = instance;
    made->place = site.place;
    made->directory =
        UniqueFd::adopt(::open(site.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!made->directory.is_open()) {
        problems.push_back(
            fmt::format("{}: cannot open {}: {}", site.place, site.directory, errno_text(errno)));
        return nullptr;
    }
    for (const PassedSocket& socket : passed) {
        if (!is_in(socket, made->directory, made->file())) continue;
        made->fd = UniqueFd::adopt(fcntl(socket.fd.borrow().number(), F_DUPFD_CLOEXEC, 3));
        made->is_passed = true;
        return made;
    }
    // Its clients would come to us instead.
    if (probe_site_socket(made->directory, made->file().c_str()) == SiteSocketState::Alive) {
        problems.push_back(
            fmt::format("{}: somebody receives at {} already", site.place, made->path()));
        return nullptr;
    }
    made->fd = UniqueFd::adopt(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const auto bound = made->fd.is_open() ? bind_hidden_site_socket(
                                                made->fd, made->directory, site.directory + "/",
                                                {.port = port, .instance = instance})
                                          : Result<void>(Unexpected{Errno::last()});
    if (bound) return made;
    problems.push_back(fmt::format("{}: cannot put a socket at {}: {}", site.place, made->path(),
                                   errno_text(bound.error().number)));
    return nullptr;
}

OpenSiteSockets OpenSiteSockets::open(const Configuration& configuration,
                                      const OpenSiteSockets* current,
                                      std::span<const PassedSocket> passed,
                                      std::vector<std::string>& problems) {
    OpenSiteSockets all;
    for (size_t i = 0; i < configuration.sites.size(); i++) {
        const SiteConfiguration& site = configuration.sites[i];
        for (const uint16_t port : site.ports) {
            std::shared_ptr<Socket> socket;
            if (current != nullptr)
                for (const Place& place : current->sockets_)
                    if (place.socket->directory_path == site.directory &&
                        place.socket->port == port &&
                        place.socket->instance == configuration.instance)
                        socket = place.socket;
            if (socket == nullptr)
                socket = open_one(site, port, configuration.instance, passed, problems);
            if (socket != nullptr) all.sockets_.push_back({std::move(socket), i});
        }
    }
    // Their clients would wait for ever.
    for (const PassedSocket& socket : passed)
        if (std::ranges::none_of(all.sockets_, [&](const Place& place) {
                return place.socket->is_passed &&
                       is_in(socket, place.socket->directory, place.socket->file());
            }))
            problems.push_back(fmt::format("LISTEN_FDS: no site has the socket {}", socket.path));
    return all;
}

void OpenSiteSockets::put_in_place(std::vector<std::string>& problems) {
    for (const Place& place : sockets_) {
        Socket& socket = *place.socket;
        if (socket.inode != 0 || socket.is_passed) continue;
        const int directory = socket.directory.borrow().number();
        struct stat status {};
        if (fstatat(directory, socket.hidden_file().c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 ||
            renameat(directory, socket.hidden_file().c_str(), directory, socket.file().c_str()) !=
                0) {
            problems.push_back(fmt::format("{}: cannot put a socket at {}: {}", socket.place,
                                           socket.path(), errno_text(errno)));
            continue;
        }
        socket.inode = status.st_ino;
    }
}

bool OpenSiteSockets::remove_files(const OpenSiteSockets* kept) {
    bool removed_any = false;
    for (const Place& place : sockets_) {
        const Socket& socket = *place.socket;
        const auto is_it = [&](const Place& other) { return other.socket == place.socket; };
        if (kept != nullptr && std::ranges::any_of(kept->sockets_, is_it)) continue;
        removed_any = true;
        if (socket.is_passed) continue;
        const int directory = socket.directory.borrow().number();
        const std::string file = socket.inode != 0 ? socket.file() : socket.hidden_file();
        struct stat status {};
        const bool is_ours = fstatat(directory, file.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                             (socket.inode == 0 || status.st_ino == socket.inode);
        if (is_ours) unlinkat(directory, file.c_str(), 0);
    }
    return removed_any;
}

std::vector<SiteSocket> OpenSiteSockets::duplicate() const {
    int number_min = STDERR_FILENO + 1;
    for (const Place& place : sockets_)
        number_min = std::max(number_min, place.socket->fd.borrow().number() + 1);
    std::vector<SiteSocket> sockets;
    for (const Place& place : sockets_)
        sockets.push_back({UniqueFd::adopt(fcntl(place.socket->fd.borrow().number(),
                                                 F_DUPFD_CLOEXEC, number_min)),
                           place.site, place.socket->port});
    return sockets;
}

}  // namespace proxyd::shim
