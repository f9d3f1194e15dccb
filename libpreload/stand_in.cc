// SPDX-License-Identifier: MIT
#include "libpreload/stand_in.h"

#include "libpreload/guest_config.h"
#include "libpreload/inherited_options.h"
#include "libpreload/real_calls.h"

#include <errno.h>

namespace proxyd {
namespace {

void ask_for_timestamps(BorrowedFd fd, int option, bool is_wanted) {
    const int value = is_wanted ? 1 : 0;
    real.setsockopt(fd.number(), SOL_SOCKET, option, &value, sizeof(value));
}

}  // namespace

bool StandIn::store() const {
    const int saved_errno = errno;
    const bool is_plain = state.is_listening && !has_options_to_pass_on(state);
    // In this order, nobody takes a listener for a plain one that isn't.
    if (!is_plain) ask_for_timestamps(fd, SO_TIMESTAMP, false);
    const bool is_stored = state.store_in(fd);
    if (is_plain && is_stored)
        ask_for_timestamps(fd, family() == AF_INET ? SO_TIMESTAMPNS : SO_TIMESTAMP, true);
    errno = saved_errno;
    return is_stored;
}

std::optional<StandIn> recognise_stand_in(int fd) {
    if (!guest_config().is_active) return std::nullopt;
    const auto state = ListenerState::of(BorrowedFd(fd));
    if (!state) return std::nullopt;
    return StandIn{BorrowedFd(fd), *state};
}

sa_family_t family_of_plain_listener(int timestamp_type) {
    switch (timestamp_type) {
        case SCM_TIMESTAMPNS:
            return AF_INET;
        case SCM_TIMESTAMP:
            return AF_INET6;
        default:
            return AF_UNSPEC;
    }
}

}  // namespace proxyd
