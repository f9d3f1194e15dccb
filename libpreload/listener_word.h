// SPDX-License-Identifier: MIT
//
// ListenerWord: what libpreload must remember of a listener and the kernel has no place for: that
// listen() was called, and the TCP and IP options that an AF_UNIX socket doesn't have. It is kept
// in the socket itself, so that it goes wherever the descriptor goes, through dup, fork, exec and
// SCM_RIGHTS, without a table. Used by libpreload's wrappers.
//
// The place is SO_MAX_PACING_RATE: on 64-bit kernels a 64-bit value, all ones when never set, that
// anyone may set and that means nothing to a datagram socket which only receives (measured on 6.18
// as an unprivileged user; a 32-bit kernel keeps 32 bits, and store_in says so). Two processes that
// change options of one listener at the same moment may lose one change: servers set options before
// they share a listener.
#pragma once

#include "base/posix/unique_fd.h"

#include <stdint.h>

namespace proxyd {

class ListenerWord {
  public:
    // A group of bits. 0 in a field means: never set.
    struct Field {
        uint8_t shift;
        uint8_t bits;
    };

    static constexpr Field Listening{0, 1};
    static constexpr Field ReusePort{1, 1};
    static constexpr Field NoDelay{2, 1};
    static constexpr Field KeepIdle{3, 15};       // the kernel's maximum is 32767 seconds
    static constexpr Field KeepInterval{18, 15};  // likewise
    static constexpr Field KeepCount{33, 7};      // at most 127
    static constexpr Field TypeOfService{40, 8};  // IP_TOS, or IPV6_TCLASS of an IPv6 listener
    static constexpr Field NativeOptions{48, 8};  // one bit for each of inherited_options.cc

    // Nothing remembered if the socket has none of our words.
    static ListenerWord of(BorrowedFd stand_in);
    // False if the kernel didn't take it.
    bool store_in(BorrowedFd stand_in) const;

    constexpr uint32_t get(Field field) const {
        return static_cast<uint32_t>(value_ >> field.shift & mask(field));
    }
    constexpr void set(Field field, uint32_t value) {
        value_ &= ~(mask(field) << field.shift);
        value_ |= (value & mask(field)) << field.shift;
    }
    constexpr bool is_listening() const { return get(Listening) != 0; }

    friend bool operator==(ListenerWord, ListenerWord) = default;

  private:
    static constexpr uint64_t mask(Field field) { return (uint64_t{1} << field.bits) - 1; }

    uint64_t value_ = 0;  // the low 56 bits; the rest is the magic number
};

}  // namespace proxyd
