// SPDX-License-Identifier: MIT
//
// The service manager's side of a daemon: readiness, reload, status and watchdog (sd_notify(3)),
// and listening sockets that it has opened for us (sd_listen_fds(3)). Used by proxyd's main
// process. Without NOTIFY_SOCKET, WATCHDOG_USEC or LISTEN_FDS in the environment it does nothing,
// so that a daemon calls it without asking who started it.
//
// NOTIFY_SOCKET and WATCHDOG_USEC stay in the environment, for the program that replaces this one
// in the same process at an upgrade. Only the process that the manager has started may notify:
// workers and a trial of a new program must not call this.
#pragma once

#include "base/posix/result.h"
#include "base/posix/socket_address.h"
#include "base/posix/unique_fd.h"

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace proxyd {

// Each of these is one message; an error is for the caller to log. `status` is a line for people
// (`systemctl status` shows it); control bytes in it become blanks.
// Started, or reloaded: also if in vain, and then because of `problems`, for a daemon that has
// started this one (X_PROBLEM=, which a service manager ignores).
Result<void> notify_ready(std::string_view status, std::span<const std::string> problems = {});
Result<void> notify_failure(std::span<const std::string> problems);  // it doesn't start
Result<void> notify_reloading(std::string_view status);              // notify_ready must follow
Result<void> notify_stopping(std::string_view status);
Result<void> notify_status(std::string_view status);

// How often the manager wants to hear notify_alive, half of the time after which it gives up on us;
// nothing if it doesn't watch this process.
std::optional<std::chrono::microseconds> watchdog_interval();
Result<void> notify_alive();

// A listening TCP socket, non-blocking and close-on-exec.
struct InheritedSocket {
    UniqueFd socket;
    SocketAddress address;
    std::string
        name;  // FileDescriptorName= of the socket unit, which is the unit's name by default
};

// Takes over the sockets that were passed to this process, and clears the variables, so that a
// second call and children find none. An error is for a start-up that ends: one sentence for each
// descriptor that is no listening TCP socket.
Result<std::vector<InheritedSocket>, std::vector<std::string>> adopt_inherited_sockets();

// Of a site socket that the manager has made (ListenDatagram=): the path that it is bound to; "" if
// it is no datagram socket with a path.
std::string path_of_site_socket(BorrowedFd socket);

}  // namespace proxyd
