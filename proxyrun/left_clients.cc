// SPDX-License-Identifier: MIT
#include "proxyrun/left_clients.h"

#include "base/handoff/send.h"
#include "base/handoff/site_socket.h"
#include "base/posix/directory.h"
#include "base/posix/socket_address.h"

#include <errno.h>
#include <fcntl.h>

#include <algorithm>

namespace proxyd {
namespace {

using namespace std::chrono_literals;

constexpr Clock::duration Patience = 10s;
// Another receiver may have come meanwhile.
constexpr Clock::duration LookInterval = 200ms;

sa_family_t family_of(BorrowedFd connection) {
    const auto address = SocketAddress::local_of(connection);
    return address ? address->family() : static_cast<sa_family_t>(AF_UNSPEC);
}

// Calls visit(sender, edge port, label) for each live receiver of the site.
template <typename Visit>
void for_each_receiver(BorrowedFd directory, Visit visit) {
    for_each_entry(directory, [&](const char* file_name, unsigned char) {
        const auto name = SiteSocketName::parse(file_name);
        if (!name) return;
        const UniqueFd file =
            UniqueFd::adopt(openat(directory.number(), file_name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
        if (!file.is_open()) return;
        auto sender = connect_sender(file);
        if (sender) visit(std::move(*sender), name->port, InstanceLabel::parse(name->instance));
    });
}

}  // namespace

// A sender to one of the site's other receivers.
class LeftClients::Receiver {
  public:
    Receiver(LeftClients& clients, UniqueFd sender, uint16_t edge_port,
             std::optional<InstanceLabel> label)
        : clients_(clients),
          sender_(std::move(sender)),
          edge_port_(edge_port),
          label_(label),
          room_(clients.loop_, *this) {}

    bool may_take(uint16_t edge_port, sa_family_t family) const {
        return state_ == State::MayHaveRoom && edge_port == edge_port_ &&
               (!label_ || label_->suits(family));
    }
    bool take(const ReceivedConnection& client) {
        const auto sent = send_connection(sender_, client.connection, client.payload_view());
        if (sent) return true;
        state_ = sent.error() == Errno{EAGAIN} ? State::Full : State::Gone;
        if (state_ == State::Full) room_.start(sender_);
        return false;
    }

  private:
    enum class State { MayHaveRoom, Full, Gone };

    void on_room() noexcept {
        room_.stop();
        state_ = State::MayHaveRoom;
        clients_.advance();  // it may be the end of this one
    }

    LeftClients& clients_;
    UniqueFd sender_;
    uint16_t edge_port_;
    std::optional<InstanceLabel> label_;
    State state_ = State::MayHaveRoom;
    WriteWatcher<&Receiver::on_room> room_;
};

LeftClients::LeftClients(EventLoop& loop, BorrowedFd directory, Owner& owner)
    : loop_(loop), directory_(directory), owner_(owner), timer_(loop, *this) {}

LeftClients::~LeftClients() = default;

bool LeftClients::has_receivers(uint16_t edge_port) const {
    bool has_any = false;
    for_each_receiver(directory_, [&](UniqueFd, uint16_t port, const auto&) {
        has_any = has_any || port == edge_port;
    });
    return has_any;
}

void LeftClients::add(ReceivedConnection client, uint16_t edge_port) {
    if (waiting_.empty()) timer_.start(Clock::duration::zero());
    waiting_.push_back({std::move(client), edge_port, Clock::now() + Patience});
}

size_t LeftClients::take_lost() {
    return std::exchange(lost_, 0);
}

void LeftClients::give_up() {
    lost_ += waiting_.size();
    waiting_.clear();
    receivers_.clear();
    timer_.stop();
}

void LeftClients::on_time() noexcept {
    find_receivers();
    timer_.start(LookInterval);
    advance();
}

void LeftClients::find_receivers() {
    receivers_.clear();
    for_each_receiver(directory_, [&](UniqueFd sender, uint16_t edge_port, const auto& label) {
        receivers_.push_back(
            std::make_unique<Receiver>(*this, std::move(sender), edge_port, label));
    });
}

bool LeftClients::hand_over(const Waiting& waiting) {
    const sa_family_t family = family_of(waiting.client.connection);
    return std::any_of(receivers_.begin(), receivers_.end(), [&](const auto& receiver) {
        return receiver->may_take(waiting.edge_port, family) && receiver->take(waiting.client);
    });
}

void LeftClients::advance() {
    const auto now = Clock::now();
    std::erase_if(waiting_, [&](const Waiting& waiting) {
        if (hand_over(waiting)) return true;
        if (waiting.deadline > now) return false;
        lost_++;
        return true;
    });
    if (!waiting_.empty()) return;
    receivers_.clear();
    timer_.stop();
    owner_.on_clients_settled();
}

}  // namespace proxyd
