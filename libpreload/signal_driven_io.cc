// SPDX-License-Identifier: MIT
#include "libpreload/signal_driven_io.h"

namespace proxyd {

SignalDrivenIo SignalDrivenIo::of(int fd) {
    SignalDrivenIo found;
    const int flags = fcntl(fd, F_GETFL);
    found.is_on_ = flags >= 0 && (flags & O_ASYNC) != 0;
    found.signal_ = fcntl(fd, F_GETSIG);
    if (fcntl(fd, F_GETOWN_EX, &found.owner_) != 0) found.owner_ = {};
    return found;
}

void SignalDrivenIo::restore(int fd) const {
    if (owner_.pid != 0) fcntl(fd, F_SETOWN_EX, &owner_);
    if (signal_ > 0) fcntl(fd, F_SETSIG, signal_);
    if (!is_on_) return;
    const int flags = fcntl(fd, F_GETFL);
    if (flags >= 0) fcntl(fd, F_SETFL, flags | O_ASYNC);
}

}  // namespace proxyd
