// SPDX-License-Identifier: MIT
#include "libpreload/prepared_sockets.h"

#include "base/handoff/site_socket.h"
#include "libpreload/guest_config.h"
#include "libpreload/process_descriptors.h"
#include "libpreload/real_calls.h"
#include "libpreload/site_directory.h"
#include "libpreload/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace proxyd {
namespace {

constexpr int KeeperSecondsMax = 2;
constexpr size_t PerMessageMax = 64;
constexpr std::string_view MoreFollows = "more";

bool is_same_listener(const InstanceLabel& a, const InstanceLabel& b) {
    return a.address == b.address && a.is_ipv6_only == b.is_ipv6_only;
}

// Whether the process has the socket open under another number than `except`. True if that can't be
// seen.
bool holds_socket(pid_t process, const SocketLink& socket, int except) {
    bool is_held = false;
    const bool is_seen = for_each_descriptor(process, [&](int number, std::string_view link) {
        is_held = is_held || (number != except && link == socket.view());
    });
    return is_held || !is_seen;
}

// The one in the name that it was made under, if any.
std::optional<InstanceLabel> label_in_name(const PreparedSocket& socket) {
    const auto name = SiteSocketName::parse(socket.file_name.view());
    return name ? InstanceLabel::parse(name->instance) : std::nullopt;
}

// "" for any other descriptor than a datagram socket of AF_UNIX that was bound to a path.
BoundName name_of_datagram_socket(int fd) {
    int type = 0;
    socklen_t length = sizeof(type);
    if (real.getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type != SOCK_DGRAM)
        return {};
    return BoundName::of(BorrowedFd(fd));
}

UniqueFd connect_to_keeper(const char* path) {
    const char* const slash = strrchr(path, '/');
    if (slash == nullptr) return {};
    std::array<char, PATH_MAX + 1> directory_path{};
    memcpy(directory_path.data(), path, static_cast<size_t>(slash + 1 - path));
    const UniqueFd directory =
        UniqueFd::adopt(open(directory_path.data(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!directory.is_open()) return {};
    const sockaddr_un address = address_in(
        directory, std::string_view(path, static_cast<size_t>(slash + 1 - path)), slash + 1);
    UniqueFd keeper = UniqueFd::adopt(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (!keeper.is_open()) return keeper;
    const timeval patience{.tv_sec = KeeperSecondsMax, .tv_usec = 0};
    for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO})
        real.setsockopt(keeper.borrow().number(), SOL_SOCKET, option, &patience, sizeof(patience));
    if (connect(keeper.borrow().number(), reinterpret_cast<const sockaddr*>(&address),
                sizeof(address)) != 0)
        keeper.close();
    return keeper;
}

}  // namespace

bool PreparedSocket::is_idle() const {
    if (!state || state->claimant == 0) return true;
    if (kill(state->claimant, 0) != 0 && errno == ESRCH) return true;
    const uint32_t start = ListenerState::start_of(state->claimant);
    if (start != 0 && state->claimant_start != 0 && start != state->claimant_start) return true;
    // Its number here is no sign of use, nor in another process that has inherited it likewise.
    const bool is_at_same_number = !owned.is_open() || state->claimant == getpid();
    return !holds_socket(state->claimant, SocketLink(number), is_at_same_number ? number : -1);
}

bool PreparedSocket::has_name(uint16_t edge_port, const SiteDirectory& directory) const {
    if (is_unused() || !is_hidden) return directory.has(file_name.text.data(), file_name);
    InstanceLabel::Text label_text;
    SiteSocketName::Text name_text;
    SiteSocketName{edge_port, state->label.format(label_text)}.format(name_text);
    return directory.has(name_text.data(), file_name);
}

PreparedSockets::PreparedSockets(uint16_t edge_port, const InstanceLabel& wanted) {
    const GuestConfig& config = guest_config();
    for (size_t i = 0; i < config.inherited_count; i++) {
        if (config.inherited[i].edge == edge_port)
            add({}, config.inherited[i].number, edge_port, wanted);
    }
    if (config.keeper_path[0] != '\0') ask_keeper(edge_port, wanted);
}

void PreparedSockets::add(UniqueFd owned, int number, uint16_t edge_port,
                          const InstanceLabel& wanted) {
    if (count_ == sockets_.size()) return;
    PreparedSocket& socket = sockets_[count_];
    socket.file_name = name_of_datagram_socket(number);
    std::string_view name = socket.file_name.view();
    socket.is_hidden = name.starts_with('.');
    if (socket.is_hidden) name.remove_prefix(1);
    const auto parsed = SiteSocketName::parse(name);
    if (!parsed || parsed->port != edge_port) return;
    const auto state = ListenerState::of(BorrowedFd(number));
    const bool is_elsewhere =
        state && state->claimant != 0 && !listen_to_the_same(state->label, wanted);
    if (is_elsewhere && socket.is_hidden) return;
    socket.number = number;
    socket.owned = std::move(owned);
    socket.state = state;
    count_++;
}

void PreparedSockets::ask_keeper(uint16_t edge_port, const InstanceLabel& wanted) {
    keeper_ = connect_to_keeper(guest_config().keeper_path.data());
    char text[16];
    const int length = snprintf(text, sizeof(text), "%u", edge_port);
    if (!keeper_.is_open() || send(keeper_.borrow().number(), text, static_cast<size_t>(length),
                                   MSG_NOSIGNAL) != length) {
        trace("the keeper at %s can't be asked: errno %d", guest_config().keeper_path.data(),
              errno);
        return;
    }
    while (take_answer(edge_port, wanted)) {
    }
}

bool PreparedSockets::take_answer(uint16_t edge_port, const InstanceLabel& wanted) {
    std::array<char, 512> text;
    iovec data{text.data(), text.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(PerMessageMax * sizeof(int))];
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    // With a time limit it is never restarted after a signal (signal(7)).
    ssize_t answer;
    do
        answer = recvmsg(keeper_.borrow().number(), &message, MSG_CMSG_CLOEXEC);
    while (answer < 0 && errno == EINTR);
    if (answer <= 0) {
        trace("the keeper at %s doesn't answer: errno %d", guest_config().keeper_path.data(),
              errno);
        return false;
    }
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
         part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
        const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int number;
            memcpy(&number, CMSG_DATA(part) + i * sizeof(int), sizeof(number));
            add(UniqueFd::adopt(number), number, edge_port, wanted);
        }
    }
    return std::string_view(text.data(), static_cast<size_t>(answer)) == MoreFollows;
}

PreparedChoice PreparedSockets::choose(uint16_t edge_port, const InstanceLabel& wanted,
                                       bool reuses_port, const SiteDirectory* directory,
                                       PreparedSocket*& socket) {
    const auto end = sockets_.begin() + count_;
    const auto is_reachable = [&](const PreparedSocket& one) {
        if (directory == nullptr || one.has_name(edge_port, *directory)) return true;
        trace("nobody can send to %s any more: its name is gone", one.file_name.text.data());
        return false;
    };
    for (auto one = sockets_.begin(); one != end; ++one) {
        if (one->is_unused() || !is_same_listener(one->state->label, wanted)) continue;
        socket = &*one;
        const bool is_idle = one->is_idle();
        const bool can_share = reuses_port && one->state->reuses_port;
        if (!is_idle && !can_share) return PreparedChoice::Taken;
        if (is_reachable(*one)) return is_idle ? PreparedChoice::Claim : PreparedChoice::Share;
    }
    // One whose name is made for the address goes first (443.4-any-443-0.sock of a systemd unit).
    const auto named = std::find_if(sockets_.begin(), end, [&](const PreparedSocket& one) {
        const auto label = label_in_name(one);
        return one.is_unused() && label && is_same_listener(*label, wanted) && is_reachable(one);
    });
    // A visible one gets clients as long as it is held, whatever address it was bound to before.
    const auto left = std::find_if(sockets_.begin(), end, [&](const PreparedSocket& one) {
        return !one.is_hidden && !label_in_name(one) && one.is_idle() && is_reachable(one);
    });
    const auto unused = std::find_if(sockets_.begin(), end, [&](const PreparedSocket& one) {
        return one.is_unused() && !label_in_name(one) && is_reachable(one);
    });
    const auto chosen = named != end ? named : left != end ? left : unused;
    if (chosen == end) return PreparedChoice::None;
    socket = &*chosen;
    return PreparedChoice::Claim;
}

bool PreparedSockets::has_idle(const InstanceLabel& label) const {
    return std::any_of(sockets_.begin(), sockets_.begin() + count_, [&](const PreparedSocket& one) {
        return one.state && is_same_listener(one.state->label, label) &&
               one.state->label.index == label.index && one.is_idle();
    });
}

const PreparedSocket* PreparedSockets::find(const BoundName& file_name) const {
    const auto end = sockets_.begin() + count_;
    const auto found = std::find_if(sockets_.begin(), end, [&](const PreparedSocket& one) {
        return one.file_name.view() == file_name.view();
    });
    return found == end ? nullptr : &*found;
}

void PreparedSockets::tell_keeper_of_failure(int error_number) {
    if (!keeper_.is_open()) return;
    char text[16];
    const int length = snprintf(text, sizeof(text), "%d", error_number);
    (void)!send(keeper_.borrow().number(), text, static_cast<size_t>(length),
                MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace proxyd
