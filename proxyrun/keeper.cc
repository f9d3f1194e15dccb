// SPDX-License-Identifier: MIT
#include "proxyrun/keeper.h"

#include "base/handoff/site_socket.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <span>

namespace proxyd {
namespace {

constexpr mode_t OwnerOnly = 0600;

constexpr size_t ConversationsMax = 64;
constexpr int Backlog = 64;
constexpr std::string_view Granted = "ok";
constexpr std::string_view MoreFollows = "more";
constexpr size_t PerMessageMax = 64;  // what libpreload has room for

// Nothing for anything else.
std::optional<uint16_t> positive_number_in(std::string_view text) {
    uint16_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || number == 0)
        return std::nullopt;
    return number;
}

Result<void> send_message(BorrowedFd receiver, std::string_view text,
                          std::span<const BorrowedFd> sockets) {
    iovec data{const_cast<char*>(text.data()), text.size()};  // sendmsg(2) only reads it
    std::vector<char> control(CMSG_SPACE(sockets.size() * sizeof(int)));
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sockets.size() * sizeof(int));
    for (size_t i = 0; i < sockets.size(); i++) {
        const int number = sockets[i].number();
        memcpy(CMSG_DATA(header) + i * sizeof(int), &number, sizeof(number));
    }
    if (sendmsg(receiver.number(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return Unexpected{Errno::last()};
    return {};
}

Result<void> send_sockets(BorrowedFd receiver, std::span<const BorrowedFd> sockets) {
    for (; sockets.size() > PerMessageMax; sockets = sockets.subspan(PerMessageMax)) {
        const auto sent = send_message(receiver, MoreFollows, sockets.first(PerMessageMax));
        if (!sent) return sent;
    }
    return send_message(receiver, Granted, sockets);
}

// Who may ask is who may receive for the site anyway, since he may put sockets into its directory.
void open_to_receivers(BorrowedFd directory, const std::string& file_name) {
    struct stat status;
    if (fstat(directory.number(), &status) != 0) return;
    if (geteuid() == 0)
        (void)!fchownat(directory.number(), file_name.c_str(), status.st_uid, status.st_gid,
                        AT_SYMLINK_NOFOLLOW);
    if ((status.st_mode & S_IWGRP) != 0)
        fchmodat(directory.number(), file_name.c_str(), OwnerOnly | S_IRGRP | S_IWGRP, 0);
}

UniqueFd new_socket() {
    return UniqueFd::adopt(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

Result<void> listen_in(BorrowedFd listener, const KeptSockets& sockets,
                       const std::string& file_name) {
    const BorrowedFd directory = sockets.directory();
    const sockaddr_un address = address_in(directory, sockets.path_prefix(), file_name.c_str());
    if (fchmod(listener.number(), OwnerOnly) != 0 ||
        bind(listener.number(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) !=
            0 ||
        listen(listener.number(), Backlog) != 0)
        return Unexpected{Errno::last()};
    open_to_receivers(directory, file_name);
    return {};
}

}  // namespace

// One receiver that asks: a question, an answer, what it says of its failure, and its end.
class Keeper::Conversation {
  public:
    Conversation(Keeper& keeper, UniqueFd socket)
        : keeper_(keeper), socket_(std::move(socket)), readable_(keeper.loop_, *this) {
        readable_.start(socket_);
    }
    uint16_t edge_port() const { return edge_port_; }
    int error_number() const { return error_number_; }

  private:
    void on_readable() noexcept {
        std::array<char, 16> text;
        const ssize_t size = recv(socket_.borrow().number(), text.data(), text.size(), 0);
        const auto number = size > 0 ? positive_number_in({text.data(), static_cast<size_t>(size)})
                                     : std::optional<uint16_t>();
        if (!number) return keeper_.on_end(*this);
        if (edge_port_ != 0) {
            error_number_ = *number;
            return;
        }
        edge_port_ = *number;
        keeper_.owner_.on_bind_begins();
        const auto sockets = keeper_.sockets_.of_port(edge_port_);
        if (!sockets || !send_sockets(socket_, *sockets)) keeper_.on_end(*this);
    }

    uint16_t edge_port_ = 0;
    int error_number_ = 0;
    Keeper& keeper_;
    UniqueFd socket_;
    ReadWatcher<&Conversation::on_readable> readable_;
};

Result<std::unique_ptr<Keeper>, std::string> Keeper::create(EventLoop& loop, KeptSockets& sockets,
                                                            Owner& owner) {
    UniqueFd listener = new_socket();
    SiteSocketName::Text text;
    const std::string file_name = fmt::format(".{}", unique_instance("keeper", listener, text));
    const auto listening = listen_in(listener, sockets, file_name);
    if (!listening)
        return Unexpected{fmt::format("{}{}: {}", sockets.path_prefix(), file_name,
                                      strerror(listening.error().number))};
    return std::make_unique<Keeper>(loop, sockets, owner, std::move(listener), file_name);
}

Keeper::Keeper(EventLoop& loop, KeptSockets& sockets, Owner& owner, UniqueFd listener,
               std::string file_name)
    : loop_(loop),
      sockets_(sockets),
      owner_(owner),
      listener_(std::move(listener)),
      file_name_(std::move(file_name)),
      connections_(loop, *this) {
    connections_.start(listener_);
}

Keeper::~Keeper() {
    unlinkat(sockets_.directory().number(), file_name_.c_str(), 0);
}

// The name was made for this socket alone, so whatever has it is ours.
void Keeper::look_after_name() {
    if (faccessat(sockets_.directory().number(), file_name_.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) ==
        0)
        return;
    UniqueFd listener = new_socket();
    if (!listener.is_open() || !listen_in(listener, sockets_, file_name_)) return;
    connections_.stop();
    listener_ = std::move(listener);
    connections_.start(listener_);
}

void Keeper::on_connection() noexcept {
    UniqueFd socket = UniqueFd::adopt(
        accept4(listener_.borrow().number(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.is_open()) return;
    if (conversations_.size() == ConversationsMax) conversations_.erase(conversations_.begin());
    conversations_.push_back(std::make_unique<Conversation>(*this, std::move(socket)));
}

void Keeper::on_end(Conversation& conversation) noexcept {
    const uint16_t edge_port = conversation.edge_port();
    const int error_number = conversation.error_number();
    std::erase_if(conversations_, [&](const auto& each) { return each.get() == &conversation; });
    owner_.on_bind_ended(edge_port, error_number);
}

}  // namespace proxyd
