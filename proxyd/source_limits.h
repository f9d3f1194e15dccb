// SPDX-License-Identifier: MIT
//
// SourceLimits: how many sessions a source may have at once, and how many new connections it may
// make per second, counted over all workers in memory that they share. Made by main before it
// forks; asked by sessions. A source is an IPv4 address or an IPv6 /64.
//
// There is no table of sources, so nothing is looked up, locked, evicted or filled up. Each source
// has one counter in each of two rows, chosen by a hash under a random key, and shares it with
// whoever has the same place in that row; what counts is the lower one of its two. So a limit can
// be reached too early, when both counters are shared with busy sources (with 65536 counters in a
// row and a hundred sources that are at their limit, two in a million others are hit), and never
// too late.
//
// Sessions are counted by each worker in a column of its own, which nobody else writes, and added
// up over the columns: when a worker is killed, its column is cleared, and its sessions are gone.
// Connections per second are counted in time, one point for each counter: when it would have worked
// off all that has come (a generic cell rate algorithm, as in ATM's traffic management).
#pragma once

#include "base/daemon/event_loop.h"
#include "base/daemon/sip_hash.h"
#include "base/posix/result.h"
#include "base/posix/socket_address.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace proxyd {

enum class SourceVerdict { Fine, TooManySessions, TooFast };

// 0: no limit.
struct SourceMaxima {
    size_t sessions = 0;
    size_t connections_per_second = 0;  // also how many may come at the same moment
};

class SourceLimits {
  public:
    static constexpr size_t RowsCount = 2;
    static constexpr size_t CountersPerRow = 65536;
    // As many as main makes: enough for the workers of two configurations, an old and a new one.
    static constexpr size_t ColumnsUsual = 256;

    // `columns`: how many workers there can be at once, those of an old configuration included.
    // Takes 512 KiB of address space for each and 1 MiB more; memory only for what is touched.
    static Result<SourceLimits> create(size_t columns, SourceMaxima maxima);
    SourceLimits(SourceLimits&& other) noexcept;
    SourceLimits& operator=(SourceLimits&& other) noexcept;
    ~SourceLimits();

    // For this process and those that it forks from now on.
    void set_maxima(SourceMaxima maxima) { maxima_ = maxima; }

    // Counts the client, unless it is refused. Two workers that ask at the same moment for the last
    // place may both be refused; never do both get it.
    SourceVerdict admit(size_t column, const SocketAddress& source, Clock::time_point now);
    // Once for each client that was admitted, in the same column.
    void leave(size_t column, const SocketAddress& source);
    // The worker with that column is dead: its sessions are gone, and the column is free.
    void forget_worker(size_t column);

    // At least so many as the source has; those of sources with the same place may be among them.
    size_t sessions_of(const SocketAddress& source) const;

  private:
    static constexpr size_t ColumnsMax = 1024;
    using Counters = std::array<std::array<uint32_t, CountersPerRow>, RowsCount>;
    // What lies in the shared memory, first of all zeros; the columns follow it.
    struct Shared {
        std::array<uint64_t, ColumnsMax / 64> columns_in_use;
        alignas(4096) std::array<std::array<uint64_t, CountersPerRow>, RowsCount> idle_at;
    };
    using Place = std::array<size_t, RowsCount>;

    SourceLimits(Shared* shared, size_t columns, SipHashKey key, SourceMaxima maxima)
        : shared_(shared), columns_(columns), key_(key), maxima_(maxima) {}

    static constexpr size_t size_for(size_t columns) {
        return sizeof(Shared) + columns * sizeof(Counters);
    }
    Counters& counters(size_t column) const {
        return reinterpret_cast<Counters*>(shared_ + 1)[column];
    }
    Place place_of(const SocketAddress& source) const;
    size_t sessions_at(const Place& place) const;
    bool charge_time(const Place& place, uint64_t now_ns);
    bool add_session(size_t column, const Place& place);
    void remove_session(size_t column, const Place& place);
    void use_column(size_t column);

    Shared* shared_;
    size_t columns_;
    SipHashKey key_;
    SourceMaxima maxima_;
};

}  // namespace proxyd
