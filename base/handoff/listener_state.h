// SPDX-License-Identifier: MIT
//
// ListenerState: all that libpreload must remember of a listener for which a datagram socket stands
// in: the address that the program bound, that it listens, the options it has set, and who bound
// it. It is kept in the socket itself, so that it goes wherever the descriptor goes, through dup,
// fork, exec and SCM_RIGHTS, without a table; and that it is there tells that the socket is a
// listener of ours. Used by libpreload, and by keepers, who want to know whose their sockets are.
//
// The place is the socket's filter (SO_ATTACH_FILTER, socket(7)): a program of classic BPF that
// lets everything pass and has the state in instructions behind its return. Any user may attach one
// to any socket, the kernel gives it back whole (SO_GET_FILTER, Linux 3.8), and it costs one
// instruction for each datagram. Two processes that change options of one listener at the same
// moment may lose one change: servers set options before they share a listener.
#pragma once

#include "base/handoff/instance_label.h"
#include "base/posix/unique_fd.h"

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <optional>

namespace proxyd {

struct ListenerState {
    // An option with an int for its value, which the datagram socket itself doesn't have.
    struct KeptOption {
        uint8_t level = 0;
        uint16_t option = 0;
        int value = 0;
    };
    static constexpr size_t KeptOptionsMax = 48;
    static constexpr size_t CongestionBytesMax = 16;  // TCP_CA_NAME_MAX

    InstanceLabel label;
    pid_t claimant = 0;  // the process that bound it last; 0: nobody yet
    // Its start_of(), since PIDs come again; 0: unknown.
    uint32_t claimant_start = 0;
    bool is_listening = false;
    bool reuses_port = false;
    uint32_t native_options = 0;  // a bit for each of those that libpreload passes on
    std::array<KeptOption, KeptOptionsMax> kept_options{};
    size_t kept_count = 0;
    std::array<char, CongestionBytesMax> congestion{};  // TCP_CONGESTION; "": never set

    // When that process was started: clock ticks since boot, as many bits of them as there is room
    // for. 0 if that can't be seen. Keeps errno.
    static uint32_t start_of(pid_t process);

    const KeptOption* find(int level, int option) const;
    // False if there is no room for another one.
    bool keep(int level, int option, int value);

    // Nothing for a socket that has no such state, and for what is no socket. Keeps errno.
    static std::optional<ListenerState> of(BorrowedFd socket);
    // False if the kernel didn't take it. Keeps errno.
    bool store_in(BorrowedFd socket) const;
};

}  // namespace proxyd
