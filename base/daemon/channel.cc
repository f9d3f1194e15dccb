// SPDX-License-Identifier: MIT
#include "base/daemon/channel.h"

#include "base/daemon/json_message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <array>
#include <nlohmann/json.hpp>

namespace proxyd {
namespace {

// Marks a message that brings a descriptor.
constexpr std::string_view DescriptorKey = "descriptor";
// What main said before a client came is heeded before it: where to log, above all.
constexpr int PriorityOverClients = 2;
constexpr size_t DescriptorsMax = 4;  // in one control message; we send one

ssize_t send_with_descriptor(BorrowedFd socket, std::string_view bytes, BorrowedFd descriptor) {
    iovec data{const_cast<char*>(bytes.data()), bytes.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    const int number = descriptor.number();
    memcpy(CMSG_DATA(header), &number, sizeof(number));
    return sendmsg(socket.number(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void adopt_descriptors(msghdr& message, std::deque<UniqueFd>& descriptors) {
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int number;
            memcpy(&number, CMSG_DATA(header) + i * sizeof(int), sizeof(number));
            descriptors.push_back(UniqueFd::adopt(number));
        }
    }
}

}  // namespace

Result<std::pair<UniqueFd, UniqueFd>> Channel::make_pair() {
    std::array<int, 2> ends;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0)
        return Unexpected{Errno::last()};
    return std::pair{UniqueFd::adopt(ends[0]), UniqueFd::adopt(ends[1])};
}

Channel::Channel(EventLoop& loop, UniqueFd socket, Owner& owner)
    : socket_(std::move(socket)), owner_(owner), readable_(loop, *this), writable_(loop, *this) {
    readable_.start(socket_, PriorityOverClients);
}

bool Channel::send(const nlohmann::json& message, UniqueFd descriptor) {
    if (has_ended_) return false;
    std::string bytes;
    if (descriptor.is_open()) {
        nlohmann::json marked = message;
        marked[DescriptorKey] = true;
        bytes = marked.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    } else {
        bytes = message.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    }
    bytes += '\n';
    if (pending_bytes_ + bytes.size() > PendingBytesMax || bytes.size() > MessageBytesMax)
        return false;
    pending_bytes_ += bytes.size();
    outgoing_.push_back({std::move(bytes), 0, std::move(descriptor)});
    // An error shows up at the reading side, too.
    if (!writable_.is_active() && send_pending() && !outgoing_.empty()) writable_.start(socket_);
    return true;
}

bool Channel::send_pending() {
    while (!outgoing_.empty()) {
        Outgoing& next = outgoing_.front();
        const std::string_view rest = std::string_view(next.bytes).substr(next.sent);
        const ssize_t size = next.descriptor.is_open()
                                 ? send_with_descriptor(socket_, rest, next.descriptor)
                                 : ::send(socket_.borrow().number(), rest.data(), rest.size(),
                                          MSG_DONTWAIT | MSG_NOSIGNAL);
        if (size < 0) return errno == EAGAIN || errno == EINTR;
        next.descriptor.close();
        next.sent += static_cast<size_t>(size);
        pending_bytes_ -= static_cast<size_t>(size);
        if (next.sent == next.bytes.size()) outgoing_.pop_front();
    }
    return true;
}

void Channel::on_writable() noexcept {
    if (!send_pending() || outgoing_.empty()) writable_.stop();
}

void Channel::on_readable() noexcept {
    if (receive() == Received::End || !take_lines()) end();
}

void Channel::receive_now() {
    Received received = Received::Some;
    while (!has_ended_ && received == Received::Some) {
        received = receive();
        if (received == Received::End || !take_lines()) end();
    }
}

Channel::Received Channel::receive() {
    std::array<char, 65536> buffer;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(DescriptorsMax * sizeof(int))> control{};
    iovec data{buffer.data(), buffer.size()};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t size =
        recvmsg(socket_.borrow().number(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size < 0) return errno == EAGAIN || errno == EINTR ? Received::Nothing : Received::End;
    adopt_descriptors(message, incoming_descriptors_);
    incoming_.append(buffer.data(), static_cast<size_t>(size));
    return size > 0 ? Received::Some : Received::End;
}

// False for what is no message.
bool Channel::take_lines() {
    size_t begin = 0;
    for (size_t end; (end = incoming_.find('\n', begin)) != incoming_.npos; begin = end + 1) {
        const std::string_view line = std::string_view(incoming_).substr(begin, end - begin);
        const auto message = parse_json_message(line);
        if (!message) return false;
        UniqueFd descriptor;
        if (message->contains(DescriptorKey)) {
            if (incoming_descriptors_.empty()) return false;
            descriptor = std::move(incoming_descriptors_.front());
            incoming_descriptors_.pop_front();
        }
        owner_.on_message(*this, *message, std::move(descriptor));
    }
    incoming_.erase(0, begin);
    return incoming_.size() <= MessageBytesMax && incoming_descriptors_.size() <= DescriptorsMax;
}

void Channel::end() {
    has_ended_ = true;
    readable_.stop();
    writable_.stop();
    owner_.on_channel_end(*this);
}

}  // namespace proxyd
