// SPDX-License-Identifier: MIT
#include "tcpshim/receiver.h"

#include "base/daemon/log.h"

#include <sys/socket.h>

#include <algorithm>

namespace proxyd::shim {
namespace {

// Before those who are here already have their turn: no more are queued by default, either
// (net.unix.max_dgram_qlen).
constexpr int ClientsPerTurn = 16;
// So many in a row ask for longer ones.
constexpr int FullBurstsMax = 16;
constexpr auto ToldInterval = std::chrono::minutes(1);

}  // namespace

void Receiver::stop(bool takes_what_is_queued) {
    if (is_stopped_) return;
    readable_.stop();
    is_stopped_ = true;
    while (takes_what_is_queued && take_one()) {
    }
    socket_.fd.close();  // main alone keeps it, so that it dies with main
}

bool Receiver::take_one() {
    ReceivedConnection received;
    switch (receive_connection(socket_.fd, MSG_CMSG_CLOEXEC | MSG_DONTWAIT, received,
                               ReceivedKind::Anything)) {
        case ReceiveOutcome::Connection:
            owner_.on_client(std::move(received), socket_);
            return true;
        case ReceiveOutcome::NotOne:
            tell_of_nobody();
            return true;
        case ReceiveOutcome::ShutDown:
        case ReceiveOutcome::Failed:
            return false;
    }
    return false;
}

void Receiver::tell_of_nobody() {
    const Clock::time_point now = Clock::now();
    if (told_at_ != Clock::time_point{} && now - told_at_ < ToldInterval) return;
    told_at_ = now;
    log_warning(
        "a datagram at the site socket of port {} brought no connection: no descriptor is "
        "left for one, or the sender is no proxyd",
        socket_.port);
}

// One too many is asked for only when it is likely to be there.
void Receiver::on_readable() noexcept {
    for (int taken = 0; taken < burst_; taken++) {
        if (!owner_.has_room_for(socket_)) return readable_.stop();
        if (!take_one()) {
            burst_ = std::max(taken, 1);
            full_bursts_ = 0;
            return;
        }
    }
    if (++full_bursts_ < FullBurstsMax) return;  // those that are left make it readable still
    burst_ = std::min(2 * burst_, ClientsPerTurn);
    full_bursts_ = 0;
}

}  // namespace proxyd::shim
