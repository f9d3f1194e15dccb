// SPDX-License-Identifier: MIT
//
// KeptSockets: the site sockets that proxyrun --keep holds open, so that clients who are queued in
// them outlive the server. It makes them under hidden names; libpreload gives one its name, and
// notes in it what the server has bound, when the server binds (base/handoff/listener_state.h).
// Used by keeper and supervisor. It starts and watches nobody.
#pragma once

#include "base/handoff/receive.h"
#include "base/posix/result.h"
#include "base/posix/unique_fd.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace proxyd {

class KeptSockets {
  public:
    // In one answer to a server, at most.
    static constexpr size_t PerPortMax = 64;

    static Result<KeptSockets> in(const std::string& site_directory);

    // One that a service manager holds as well: its file and what is queued in it stay at the end.
    void adopt(UniqueFd socket, uint16_t edge_port);
    // All of that port, at most PerPortMax; at least one of them is bound by nobody yet: a fresh
    // one if need be.
    Result<std::vector<BorrowedFd>> of_port(uint16_t edge_port);

    // The server is started, perhaps again: from now on what it binds counts.
    void begin_run();
    // Whether this run of the server has bound any of them.
    bool has_bound() const;
    // Takes those out of service that an earlier run has bound and this one has not, and that are
    // not `in_use`: a process of another PID namespace may have the number of an earlier one.
    // Returns how many.
    size_t give_up_unbound(const std::set<ino_t>& in_use);

    // What fstat(2) says of each.
    std::set<ino_t> inodes() const;

    // Takes the files away, so that no more clients come. A service manager's stay.
    void withdraw();
    // Gives what is queued to other receivers of the site, as far as there are any.
    void hand_on();
    // The end: the same, for the last time. Returns how many clients nobody took.
    size_t give_up();

    BorrowedFd directory() const { return directory_; }
    const std::string& path_prefix() const { return path_prefix_; }

  private:
    struct Kept {
        UniqueFd socket;
        uint16_t edge_port = 0;
        struct stat file {};  // of the file's inode, whatever its name
        pid_t claimant_before = 0;
        bool is_of_service_manager = false;
    };

    explicit KeptSockets(UniqueFd directory, std::string path_prefix)
        : directory_(std::move(directory)), path_prefix_(std::move(path_prefix)) {}
    Result<void> make(uint16_t edge_port);
    void remove_file(const Kept& kept) const;
    // Senders to the site's other receivers, of a family's clients if one is given.
    std::vector<UniqueFd> receivers(uint16_t edge_port,
                                    std::optional<sa_family_t> client_family) const;
    bool hand_over(const ReceivedConnection& client, uint16_t edge_port) const;
    size_t empty(const Kept& kept, bool is_last_time) const;

    UniqueFd directory_;
    std::string path_prefix_;  // the directory's path with a slash at its end
    std::vector<Kept> kept_;
    unsigned made_count_ = 0;
};

}  // namespace proxyd
