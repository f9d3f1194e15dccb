// SPDX-License-Identifier: MIT
//
// SocketFile: a listening Unix stream socket at a path. Used for control socket and metrics. It
// never takes the place of anything but a socket that nobody answers at.
#pragma once

#include "base/posix/result.h"
#include "base/posix/unique_fd.h"

#include <string>
#include <string_view>

namespace proxyd {

enum class SocketFileGroup {
    Own,          // of this process
    OfDirectory,  // if we may give it away
};

// The one error that time may mend: another process listens there, and may be about to end.
inline constexpr std::string_view SocketFileTaken = "somebody answers there already";

// Listens at `path`, non-blocking, with mode 0660. The error is what is wrong, without the path:
// SocketFileTaken.
Result<UniqueFd, std::string> listen_at_socket_file(const std::string& path, SocketFileGroup group);

// Takes the file away while it is being listened to, unless another process has put its own there
// meanwhile.
void remove_own_socket_file(const std::string& path);

}  // namespace proxyd
