// SPDX-License-Identifier: MIT
#include "tcpshim/relay.h"

#include <errno.h>

namespace proxyd::shim {

void Relay::on_events(Side side, uint32_t epoll_events) {
    from(side).on_source_events(epoll_events);
    from(other_side(side)).on_target_events(epoll_events);
    if ((epoll_events & EPOLLERR) != 0) note_broken(side, 0);
}

void Relay::note_broken(Side side, int error) {
    if (error_ == 0) error_ = error;
    from(side).mark_source_broken();
    if (!broken_) broken_ = side;
}

bool Relay::advance_from(Side side, const RelayServices& services, const RelaySocket& source,
                         const RelaySocket& target) {
    RelayDirection& direction = from(side);
    if (direction.is_over()) return false;
    switch (direction.advance(services, source, target)) {
        case RelayDirection::Progress::Waiting:
            return false;
        case RelayDirection::Progress::More:
            return true;
        case RelayDirection::Progress::Ended:
            if (!first_to_end_) first_to_end_ = side;
            if (side == Side::Backend) to_backend_.leave_end_to_close();
            return false;
        case RelayDirection::Progress::SourceFailed:
            note_broken(side, direction.error());
            return false;
        case RelayDirection::Progress::TargetFailed:
            note_broken(other_side(side), direction.error());
            return false;
    }
    return false;
}

Relay::State Relay::advance(const RelayServices& services, BorrowedFd client, BorrowedFd backend) {
    const RelaySocket at_client{client, is_client_non_blocking_};
    const RelaySocket at_backend{backend, is_backend_non_blocking_};
    const bool more_to_backend = advance_from(Side::Client, services, at_client, at_backend);
    const bool more_to_client = advance_from(Side::Backend, services, at_backend, at_client);
    if (broken_) {
        // What it had sent before goes on as long as the other one takes it.
        const bool is_client = *broken_ == Side::Client;
        const bool goes_on = advance_from(*broken_, services, is_client ? at_client : at_backend,
                                          is_client ? at_backend : at_client);
        return goes_on ? State::More : State::Broken;
    }
    if (to_backend_.is_over() && to_client_.is_over()) return State::Ended;
    return more_to_backend || more_to_client ? State::More : State::Going;
}

void Relay::replace_backend() {
    to_client_.reset_source();
    to_backend_.note_new_target();
    if (broken_ == Side::Backend) broken_.reset();
    error_ = 0;
}

void Relay::abandon(PipePool& pipes) {
    to_backend_.abandon(pipes);
    to_client_.abandon(pipes);
}

}  // namespace proxyd::shim
