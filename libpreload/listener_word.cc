// SPDX-License-Identifier: MIT
#include "libpreload/listener_word.h"

#include "libpreload/real_calls.h"

#include <errno.h>
#include <sys/socket.h>

namespace proxyd {
namespace {

constexpr int MagicShift = 56;
constexpr uint64_t Magic = 0x5a;  // not 0xff, which a socket has that was never touched
constexpr uint64_t ContentMask = (uint64_t{1} << MagicShift) - 1;

}  // namespace

ListenerWord ListenerWord::of(BorrowedFd stand_in) {
    const int saved_errno = errno;
    uint64_t value = 0;
    socklen_t length = sizeof(value);
    ListenerWord word;
    if (real.getsockopt(stand_in.number(), SOL_SOCKET, SO_MAX_PACING_RATE, &value, &length) == 0 &&
        length == sizeof(value) && value >> MagicShift == Magic)
        word.value_ = value & ContentMask;
    errno = saved_errno;
    return word;
}

bool ListenerWord::store_in(BorrowedFd stand_in) const {
    const int saved_errno = errno;
    const uint64_t value = value_ | Magic << MagicShift;
    const bool is_taken = real.setsockopt(stand_in.number(), SOL_SOCKET, SO_MAX_PACING_RATE, &value,
                                          sizeof(value)) == 0 &&
                          of(stand_in) == *this;
    errno = saved_errno;
    return is_taken;
}

}  // namespace proxyd
