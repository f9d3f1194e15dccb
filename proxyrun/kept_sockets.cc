// SPDX-License-Identifier: MIT
//
// Nobody else may take what has been queued when the keeper ends: so it takes the file away first,
// then lets nothing more in (shutdown(2) for reading; a sender gets EPIPE and turns to the next
// socket), and then passes on what is there. No client can come in between.
#include "proxyrun/kept_sockets.h"

#include "base/handoff/instance_label.h"
#include "base/handoff/listener_state.h"
#include "base/handoff/receive.h"
#include "base/handoff/send.h"
#include "base/handoff/site_socket.h"
#include "base/posix/directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iterator>

namespace proxyd {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto RoomPatience = std::chrono::seconds(10);

pid_t claimant_of(BorrowedFd socket) {
    const auto state = ListenerState::of(socket);
    return state ? state->claimant : 0;
}

ino_t inode_of(BorrowedFd socket) {
    struct stat status {};
    fstat(socket.number(), &status);
    return status.st_ino;
}

bool is_same_file(const struct stat& a, const struct stat& b) {
    return a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

bool has_one_queued(BorrowedFd socket) {
    pollfd query{socket.number(), POLLIN, 0};
    return poll(&query, 1, 0) == 1 && (query.revents & POLLIN) != 0;
}

sa_family_t family_of(BorrowedFd connection) {
    const auto address = SocketAddress::local_of(connection);
    return address ? address->family() : static_cast<sa_family_t>(AF_UNSPEC);
}

// Whether a client of that family suits what a file of this name receives.
bool suits(const SiteSocketName& name, sa_family_t client_family) {
    const auto label = InstanceLabel::parse(name.instance);
    return !label || label->suits(client_family);
}

}  // namespace

Result<KeptSockets> KeptSockets::in(const std::string& site_directory) {
    UniqueFd directory =
        UniqueFd::adopt(open(site_directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory.is_open()) return Unexpected{Errno::last()};
    return KeptSockets(std::move(directory), site_directory + "/");
}

void KeptSockets::adopt(UniqueFd socket, uint16_t edge_port) {
    kept_.push_back({std::move(socket), edge_port, {}, 0, true});
}

Result<std::vector<BorrowedFd>> KeptSockets::of_port(uint16_t edge_port) {
    const auto is_free = [&](const Kept& kept) {
        return kept.edge_port == edge_port && claimant_of(kept.socket) == 0;
    };
    if (std::none_of(kept_.begin(), kept_.end(), is_free)) {
        const auto made = make(edge_port);
        if (!made) return Unexpected{made.error()};
    }
    std::vector<BorrowedFd> sockets;
    for (const Kept& kept : kept_) {
        if (kept.edge_port == edge_port) sockets.push_back(kept.socket);
    }
    // The last one made is among those that stay.
    if (sockets.size() > PerPortMax)
        sockets.erase(sockets.begin(), sockets.end() - static_cast<ptrdiff_t>(PerPortMax));
    return sockets;
}

Result<void> KeptSockets::make(uint16_t edge_port) {
    UniqueFd socket = UniqueFd::adopt(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket.is_open()) return Unexpected{Errno::last()};
    const std::string instance = fmt::format("kept-{}-{}", getpid(), made_count_++);
    const SiteSocketName name{edge_port, instance};
    const auto bound = bind_hidden_site_socket(socket, directory_, path_prefix_, name);
    if (!bound) return bound;
    Kept kept{std::move(socket), edge_port, {}, 0, false};
    SiteSocketName::Text text;
    const std::string hidden = fmt::format(".{}", name.format(text));
    if (fstatat(directory_.borrow().number(), hidden.c_str(), &kept.file, AT_SYMLINK_NOFOLLOW) != 0)
        return Unexpected{Errno::last()};
    kept_.push_back(std::move(kept));
    return {};
}

void KeptSockets::begin_run() {
    for (Kept& kept : kept_)
        kept.claimant_before = claimant_of(kept.socket);
}

bool KeptSockets::has_bound() const {
    return std::any_of(kept_.begin(), kept_.end(), [](const Kept& kept) {
        return claimant_of(kept.socket) != kept.claimant_before;
    });
}

size_t KeptSockets::give_up_unbound(const std::set<ino_t>& in_use) {
    const auto is_in_use = [&](const Kept& kept) {
        return kept.is_of_service_manager || kept.claimant_before == 0 ||
               claimant_of(kept.socket) != kept.claimant_before ||
               in_use.contains(inode_of(kept.socket));
    };
    const auto unbound = std::stable_partition(kept_.begin(), kept_.end(), is_in_use);
    const auto count = static_cast<size_t>(std::distance(unbound, kept_.end()));
    for (auto kept = unbound; kept != kept_.end(); ++kept) {
        remove_file(*kept);
        empty(*kept, true);
    }
    kept_.erase(unbound, kept_.end());
    return count;
}

std::set<ino_t> KeptSockets::inodes() const {
    std::set<ino_t> inodes;
    for (const Kept& kept : kept_)
        inodes.insert(inode_of(kept.socket));
    return inodes;
}

void KeptSockets::withdraw() {
    for (const Kept& kept : kept_) {
        if (!kept.is_of_service_manager) remove_file(kept);
    }
}

void KeptSockets::hand_on() {
    for (const Kept& kept : kept_) {
        if (!kept.is_of_service_manager) empty(kept, false);
    }
}

size_t KeptSockets::give_up() {
    withdraw();
    size_t lost = 0;
    for (const Kept& kept : kept_) {
        if (!kept.is_of_service_manager) lost += empty(kept, true);
    }
    kept_.clear();
    return lost;
}

void KeptSockets::remove_file(const Kept& kept) const {
    for_each_entry(directory_, [&](const char* name, unsigned char) {
        struct stat status;
        if (fstatat(directory_.borrow().number(), name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            is_same_file(status, kept.file))
            unlinkat(directory_.borrow().number(), name, 0);
    });
}

std::vector<UniqueFd> KeptSockets::receivers(uint16_t edge_port,
                                             std::optional<sa_family_t> client_family) const {
    std::vector<UniqueFd> senders;
    for_each_entry(directory_, [&](const char* file_name, unsigned char) {
        const auto name = SiteSocketName::parse(file_name);
        if (!name || name->port != edge_port || (client_family && !suits(*name, *client_family)))
            return;
        const UniqueFd file = UniqueFd::adopt(
            openat(directory_.borrow().number(), file_name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
        if (!file.is_open()) return;
        auto sender = connect_sender(file);
        if (sender) senders.push_back(std::move(*sender));
    });
    return senders;
}

bool KeptSockets::hand_over(const ReceivedConnection& client, uint16_t edge_port) const {
    const auto senders = receivers(edge_port, family_of(client.connection));
    // proxyd wants the room as well, so it may take several turns to get some.
    const auto deadline = Clock::now() + RoomPatience;
    while (true) {
        std::vector<pollfd> rooms;
        for (const UniqueFd& sender : senders) {
            const auto sent = send_connection(sender, client.connection, client.payload_view());
            if (sent) return true;
            if (sent.error() == Errno{EAGAIN})
                rooms.push_back({sender.borrow().number(), POLLOUT, 0});
        }
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
        if (rooms.empty() || left <= 0 ||
            poll(rooms.data(), rooms.size(), static_cast<int>(left)) <= 0)
            return false;
    }
}

// Returns how many clients nobody took.
size_t KeptSockets::empty(const Kept& kept, bool is_last_time) const {
    if (is_last_time) shutdown(kept.socket.borrow().number(), SHUT_RD);
    size_t lost = 0;
    while (has_one_queued(kept.socket)) {
        // There may be somebody soon.
        if (!is_last_time && receivers(kept.edge_port, std::nullopt).empty()) break;
        ReceivedConnection received;
        const auto outcome =
            receive_connection(kept.socket, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, received);
        if (outcome == ReceiveOutcome::NotOne) continue;
        if (outcome != ReceiveOutcome::Connection) break;
        if (!hand_over(received, kept.edge_port)) lost++;
    }
    return lost;
}

}  // namespace proxyd
