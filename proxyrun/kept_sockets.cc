// SPDX-License-Identifier: MIT
//
// Nobody else may take what has been queued when the keeper ends: so it takes the file away first,
// then lets nothing more in (shutdown(2) for reading; a sender gets EPIPE and turns to the next
// socket), and then passes on what is there. No client can come in between.
//
// A socket can't be bound a second time, and its file can't be linked once the last name is gone:
// hence the spare name, a hard link from the start. Where that is gone, too, nobody can send to the
// socket any more: at its next start the server gets a fresh one (libpreload sees that the name
// doesn't lead to the old one), and who is queued in the old one is handed on to that.
#include "proxyrun/kept_sockets.h"

#include "base/handoff/instance_label.h"
#include "base/handoff/listener_state.h"
#include "base/handoff/receive.h"
#include "base/handoff/site_socket.h"
#include "base/posix/directory.h"
#include "proxyrun/left_clients.h"
#include "proxyrun/site_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>

namespace proxyd {
namespace {

// PID and start of the process, since PIDs come again; 0: nobody.
uint64_t claimant_of(BorrowedFd socket) {
    const auto state = ListenerState::of(socket);
    if (!state || state->claimant == 0) return 0;
    return uint64_t{state->claimant_start} << 32 | static_cast<uint32_t>(state->claimant);
}

ino_t inode_of(BorrowedFd socket) {
    struct stat status {};
    fstat(socket.number(), &status);
    return status.st_ino;
}

bool is_made_for_one_address(BorrowedFd socket) {
    const BoundName bound_name = BoundName::of(socket);
    const auto name = SiteSocketName::parse(bound_name.view());
    return name && InstanceLabel::parse(name->instance);
}

bool is_same_file(const struct stat& a, const struct stat& b) {
    return a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

bool has_one_queued(BorrowedFd socket) {
    pollfd query{socket.number(), POLLIN, 0};
    return poll(&query, 1, 0) == 1 && (query.revents & POLLIN) != 0;
}

// Receives one client; false if there is none.
bool receive_one(BorrowedFd socket, ReceivedConnection& client) {
    while (has_one_queued(socket)) {
        const auto outcome = receive_connection(socket, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, client);
        if (outcome == ReceiveOutcome::Connection) return true;
        if (outcome != ReceiveOutcome::NotOne) break;
    }
    return false;
}

// Whether nobody is left in its queue.
bool hand_on_from(BorrowedFd socket, uint16_t edge_port, LeftClients& clients) {
    // After shutdown(2) it is always readable: then this alone tells.
    int bytes_queued = 0;
    if (!has_one_queued(socket) ||
        (ioctl(socket.number(), FIONREAD, &bytes_queued) == 0 && bytes_queued == 0))
        return true;
    // Otherwise they stay: there may be somebody soon.
    if (!clients.has_receivers(edge_port)) return false;
    while (!clients.is_full()) {
        ReceivedConnection client;
        if (!receive_one(socket, client)) return true;
        clients.add(std::move(client), edge_port);
    }
    return false;
}

// What proxyrun and libpreload call a socket before it has its name.
bool is_name_of_ours(std::string_view name) {
    if (!name.starts_with('.')) return false;
    if (name.starts_with(".keeper-")) return true;
    const auto parsed = SiteSocketName::parse(name.substr(1));
    return parsed &&
           (parsed->instance.starts_with("kept-") || parsed->instance.starts_with("spare-") ||
            parsed->instance.starts_with("new-"));
}

std::string text_of(const SiteSocketName& name) {
    SiteSocketName::Text text;
    return std::string(name.format(text));
}

}  // namespace

Result<KeptSockets> KeptSockets::in(const std::string& site_directory) {
    UniqueFd directory =
        UniqueFd::adopt(open(site_directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory.is_open()) return Unexpected{Errno::last()};
    return KeptSockets(std::move(directory), site_directory + "/");
}

bool KeptSockets::has_lost_directory() const {
    struct stat ours {
    }, found{};
    return fstat(directory_.borrow().number(), &ours) == 0 &&
           (stat(path_prefix_.c_str(), &found) != 0 || !is_same_file(ours, found));
}

void KeptSockets::adopt(UniqueFd socket, uint16_t edge_port) {
    Kept kept;
    kept.socket = std::move(socket);
    kept.edge_port = edge_port;
    kept.is_of_service_manager = true;
    const BoundName name = BoundName::of(kept.socket);
    fstatat(directory_.borrow().number(), name.text.data(), &kept.file, AT_SYMLINK_NOFOLLOW);
    kept_.push_back(std::move(kept));
}

Result<std::vector<BorrowedFd>> KeptSockets::of_port(uint16_t edge_port) {
    // One with an address in its name is for that alone.
    const auto is_free = [&](const Kept& kept) {
        return kept.edge_port == edge_port && claimant_of(kept.socket) == 0 &&
               !is_made_for_one_address(kept.socket) && has_first_name(kept);
    };
    if (std::none_of(kept_.begin(), kept_.end(), is_free)) {
        const auto made = make(edge_port);
        if (!made) return Unexpected{made.error()};
    }
    std::vector<BorrowedFd> sockets;
    for (const Kept& kept : kept_) {
        if (kept.edge_port == edge_port) sockets.push_back(kept.socket);
    }
    std::stable_partition(sockets.begin(), sockets.end(),
                          [](BorrowedFd socket) { return claimant_of(socket) == 0; });
    return sockets;
}

Result<void> KeptSockets::make(uint16_t edge_port) {
    UniqueFd socket = UniqueFd::adopt(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket.is_open()) return Unexpected{Errno::last()};
    SiteSocketName::Text text;
    const SiteSocketName name{edge_port, unique_instance("kept", socket, text)};
    const auto bound = bind_hidden_site_socket(socket, directory_, path_prefix_, name);
    if (!bound) return bound;
    Kept kept;
    kept.edge_port = edge_port;
    const int directory = directory_.borrow().number();
    const std::string hidden = "." + text_of(name);
    if (fstatat(directory, hidden.c_str(), &kept.file, AT_SYMLINK_NOFOLLOW) != 0)
        return Unexpected{Errno::last()};
    kept.spare_name = "." + text_of({edge_port, unique_instance("spare", socket, text)});
    if (linkat(directory, hidden.c_str(), directory, kept.spare_name.c_str(), 0) != 0)
        kept.spare_name.clear();
    kept.socket = std::move(socket);
    kept_.push_back(std::move(kept));
    return {};
}

// Nobody has bound those yet that are without the name that they were made under: it was removed,
// or a server was killed while it was binding.
void KeptSockets::begin_run() {
    let_go(std::stable_partition(kept_.begin(), kept_.end(), [&](const Kept& kept) {
        return kept.is_of_service_manager || claimant_of(kept.socket) != 0 || has_first_name(kept);
    }));
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
    let_go(unbound);
    return count;
}

std::vector<std::string> KeptSockets::deaf_of_service_manager(const std::set<ino_t>& in_use) const {
    std::vector<std::string> paths;
    for (const Kept& kept : kept_) {
        if (kept.is_of_service_manager && claimant_of(kept.socket) == kept.claimant_before &&
            !in_use.contains(inode_of(kept.socket)) && has_first_name(kept))
            paths.push_back(path_prefix_ + BoundName::of(kept.socket).text.data());
    }
    return paths;
}

void KeptSockets::let_go(std::vector<Kept>::iterator first) {
    for (auto kept = first; kept != kept_.end(); ++kept) {
        remove_file(*kept);
        shutdown(kept->socket.borrow().number(), SHUT_RD);
        leaving_.push_back(std::move(*kept));
    }
    kept_.erase(first, kept_.end());
}

std::set<ino_t> KeptSockets::inodes() const {
    std::set<ino_t> inodes;
    for (const Kept& kept : kept_)
        inodes.insert(inode_of(kept.socket));
    return inodes;
}

void KeptSockets::withdraw() {
    is_withdrawn_ = true;
    for (const Kept& kept : kept_) {
        if (!kept.is_of_service_manager) remove_file(kept);
    }
}

void KeptSockets::close_down() {
    withdraw();
    for (const Kept& kept : kept_) {
        if (!kept.is_of_service_manager) shutdown(kept.socket.borrow().number(), SHUT_RD);
    }
}

void KeptSockets::hand_on(LeftClients& clients) {
    std::erase_if(leaving_, [&](const Kept& kept) {
        return hand_on_from(kept.socket, kept.edge_port, clients);
    });
    for (const Kept& kept : kept_) {
        if (is_withdrawn_ && !kept.is_of_service_manager)
            hand_on_from(kept.socket, kept.edge_port, clients);
    }
}

bool KeptSockets::has_left_clients() const {
    return !leaving_.empty();
}

size_t KeptSockets::give_up() {
    close_down();
    let_go(std::partition(kept_.begin(), kept_.end(),
                          [](const Kept& kept) { return kept.is_of_service_manager; }));
    size_t lost = 0;
    for (const Kept& kept : leaving_) {
        ReceivedConnection client;
        for (; receive_one(kept.socket, client); client.connection.close())
            lost++;
    }
    leaving_.clear();
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

void KeptSockets::clear_leftovers() const {
    for_each_entry(directory_, [&](const char* name, unsigned char) {
        if (is_name_of_ours(name) && probe_site_socket(directory_, name) == SiteSocketState::Dead)
            unlinkat(directory_.borrow().number(), name, 0);
    });
}

std::string KeptSockets::visible_name(const Kept& kept) {
    const auto state = ListenerState::of(kept.socket);
    if (!state || state->claimant == 0) return "";
    if (kept.is_of_service_manager) return BoundName::of(kept.socket).text.data();
    InstanceLabel::Text text;
    return text_of({kept.edge_port, state->label.format(text)});
}

bool KeptSockets::has_name(const Kept& kept, const std::string& name) const {
    struct stat status;
    return fstatat(directory_.borrow().number(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           is_same_file(status, kept.file);
}

bool KeptSockets::has_first_name(const Kept& kept) const {
    return has_name(kept, BoundName::of(kept.socket).text.data());
}

bool KeptSockets::is_ours(const char* file_name) const {
    return std::any_of(kept_.begin(), kept_.end(),
                       [&](const Kept& kept) { return has_name(kept, file_name); });
}

std::vector<std::string> KeptSockets::look_after_names() {
    std::vector<std::string> news;
    if (is_withdrawn_) return news;
    for (Kept& kept : kept_) {
        const std::string name = visible_name(kept);
        if (name.empty()) continue;
        const Name before = std::exchange(kept.name, Name::InPlace);
        if (has_name(kept, name)) {
            keep_spare(kept, name);
            continue;
        }
        const std::string path = path_prefix_ + name;
        if (is_taken_over(kept)) {
            kept.name = Name::TakenOver;
            if (before != Name::TakenOver)
                news.push_back(fmt::format(
                    "{}: another server has taken the place, and gets the clients", path));
        } else if (name_again(kept, name)) {
            news.push_back(fmt::format("{}: {}; it is there again", path,
                                       before == Name::TakenOver ? "the other server has gone"
                                                                 : "somebody had removed it"));
        } else {
            kept.name = Name::Gone;
            if (before == Name::InPlace)
                news.push_back(fmt::format(
                    "{}: somebody has removed it, so no client comes to the server before it is "
                    "started again",
                    path));
        }
    }
    return news;
}

bool KeptSockets::is_taken_over(const Kept& kept) const {
    const auto state = ListenerState::of(kept.socket);
    bool is_taken = false;
    for_each_entry(directory_, [&](const char* file_name, unsigned char) {
        const auto name = SiteSocketName::parse(file_name);
        if (is_taken || !state || !name || name->port != kept.edge_port) return;
        const auto label = InstanceLabel::parse(name->instance);
        is_taken = label && listen_to_the_same(*label, state->label) && !is_ours(file_name) &&
                   probe_site_socket(directory_, file_name) == SiteSocketState::Alive;
    });
    return is_taken;
}

bool KeptSockets::name_again(const Kept& kept, const std::string& name) const {
    if (kept.spare_name.empty()) return false;
    const int directory = directory_.borrow().number();
    const auto link = [&] {
        return linkat(directory, kept.spare_name.c_str(), directory, name.c_str(), 0) == 0;
    };
    if (link()) return true;
    if (errno != EEXIST) return false;
    // What a dead server has left in the place. Without the lock it could be a live one's now.
    const SiteLock lock(directory_, Clock::duration::zero());
    if (!lock.is_held() || probe_site_socket(directory_, name.c_str()) != SiteSocketState::Dead)
        return false;
    unlinkat(directory, name.c_str(), 0);
    return link();
}

void KeptSockets::keep_spare(const Kept& kept, const std::string& name) const {
    if (kept.spare_name.empty() || has_name(kept, kept.spare_name)) return;
    const int directory = directory_.borrow().number();
    (void)!linkat(directory, name.c_str(), directory, kept.spare_name.c_str(), 0);
}

bool KeptSockets::has_nameless() const {
    return std::any_of(kept_.begin(), kept_.end(),
                       [](const Kept& kept) { return kept.name != Name::InPlace; });
}

void KeptSockets::give_up_nameless(const std::set<ino_t>& in_use) {
    let_go(std::stable_partition(kept_.begin(), kept_.end(), [&](const Kept& kept) {
        return kept.name == Name::InPlace || kept.is_of_service_manager ||
               in_use.contains(inode_of(kept.socket));
    }));
}

std::string KeptSockets::foreign_file(uint16_t edge_port,
                                      const std::set<uint16_t>& server_ports) const {
    std::string found;
    for_each_entry(directory_, [&](const char* file_name, unsigned char) {
        const auto name = SiteSocketName::parse(file_name);
        if (!found.empty() || !name || name->port != edge_port) return;
        const auto label = InstanceLabel::parse(name->instance);
        if (label && server_ports.contains(label->address.port()) && !is_ours(file_name) &&
            probe_site_socket(directory_, file_name) == SiteSocketState::Alive)
            found = file_name;
    });
    return found;
}

}  // namespace proxyd
