// SPDX-License-Identifier: MIT
#include "libpreload/inherited_options.h"

#include "libpreload/real_calls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cstddef>

namespace proxyd {
namespace {

// An option of SOL_SOCKET; its position in the table is its bit in ListenerState::native_options.
struct NativeOption {
    int option;
    bool reads_doubled;  // socket(7), SO_RCVBUF: getsockopt gives twice what setsockopt took
    bool is_passed_on = true;
};

constexpr std::array<NativeOption, 11> NativeOptions = {{
    {SO_KEEPALIVE, false},
    {SO_LINGER, false},
    {SO_RCVBUF, true},
    {SO_SNDBUF, true},
    {SO_RCVTIMEO, false},
    {SO_SNDTIMEO, false},
    {SO_PRIORITY, false, false},  // connections have 0 (measured)
    {SO_RCVLOWAT, false},
    {SO_OOBINLINE, false},
    {SO_MARK, false},
    {SO_MAX_PACING_RATE, false},
}};

// An option of TCP, IP or IPv6 with an int for its value, kept in the state.
struct IntOption {
    int level;
    int option;
    bool is_passed_on;
};

constexpr std::array IntOptions = {
    // libpreload uses these two itself (stand_in.h).
    IntOption{SOL_SOCKET, SO_TIMESTAMP, true},
    IntOption{SOL_SOCKET, SO_TIMESTAMPNS, true},
    IntOption{SOL_SOCKET, SO_ZEROCOPY, true},
    IntOption{IPPROTO_TCP, TCP_NODELAY, true},
    IntOption{IPPROTO_TCP, TCP_CORK, true},
    IntOption{IPPROTO_TCP, TCP_KEEPIDLE, true},
    IntOption{IPPROTO_TCP, TCP_KEEPINTVL, true},
    IntOption{IPPROTO_TCP, TCP_KEEPCNT, true},
    IntOption{IPPROTO_TCP, TCP_USER_TIMEOUT, true},
    IntOption{IPPROTO_TCP, TCP_LINGER2, true},
    IntOption{IPPROTO_TCP, TCP_NOTSENT_LOWAT, true},
    IntOption{IPPROTO_TCP, TCP_WINDOW_CLAMP, true},
    IntOption{IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, true},
    IntOption{IPPROTO_TCP, TCP_INQ, true},
    // These mean something to listeners, or while a connection is made.
    IntOption{IPPROTO_TCP, TCP_MAXSEG, false},
    IntOption{IPPROTO_TCP, TCP_SYNCNT, false},
    IntOption{IPPROTO_TCP, TCP_DEFER_ACCEPT, false},
    IntOption{IPPROTO_TCP, TCP_FASTOPEN, false},
    IntOption{IPPROTO_TCP, TCP_QUICKACK, false},
    IntOption{IPPROTO_TCP, TCP_SAVE_SYN, false},
    IntOption{IPPROTO_IP, IP_TOS, true},
    IntOption{IPPROTO_IP, IP_TTL, true},
    IntOption{IPPROTO_IP, IP_MTU_DISCOVER, true},
    IntOption{IPPROTO_IP, IP_RECVTTL, true},
    IntOption{IPPROTO_IP, IP_RECVTOS, true},
    IntOption{IPPROTO_IP, IP_PKTINFO, true},
    IntOption{IPPROTO_IP, IP_RECVERR, true},
    IntOption{IPPROTO_IP, IP_MINTTL, true},
    IntOption{IPPROTO_IP, IP_FREEBIND, true},
    IntOption{IPPROTO_IP, IP_TRANSPARENT, true},
    IntOption{IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, false},
    IntOption{IPPROTO_IPV6, IPV6_TCLASS, true},
    IntOption{IPPROTO_IPV6, IPV6_UNICAST_HOPS, true},
    IntOption{IPPROTO_IPV6, IPV6_MTU_DISCOVER, true},
    IntOption{IPPROTO_IPV6, IPV6_DONTFRAG, true},
    IntOption{IPPROTO_IPV6, IPV6_RECVTCLASS, true},
    IntOption{IPPROTO_IPV6, IPV6_RECVHOPLIMIT, true},
    IntOption{IPPROTO_IPV6, IPV6_RECVPKTINFO, true},
    IntOption{IPPROTO_IPV6, IPV6_RECVERR, true},
    IntOption{IPPROTO_IPV6, IPV6_FREEBIND, true},
    IntOption{IPPROTO_IPV6, IPV6_TRANSPARENT, true},
    IntOption{IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, true},
};
static_assert(IntOptions.size() <= ListenerState::KeptOptionsMax);

const IntOption* find_int_option(int level, int option) {
    for (const IntOption& known : IntOptions) {
        if (known.level == level && known.option == option) return &known;
    }
    return nullptr;
}

// The largest of these values: two timevals.
struct OptionValue {
    alignas(timeval) std::array<uint8_t, 32> bytes{};
    socklen_t length = 0;

    int as_int() const {
        int number;
        memcpy(&number, bytes.data(), sizeof(number));
        return number;
    }
    friend bool operator==(const OptionValue& a, const OptionValue& b) {
        return a.length == b.length && a.bytes == b.bytes;
    }
};

bool read_option(BorrowedFd socket, int level, int option, OptionValue& value) {
    value = {};
    value.length = sizeof(value.bytes);
    return real.getsockopt(socket.number(), level, option, value.bytes.data(), &value.length) == 0;
}

bool write_int(BorrowedFd socket, int level, int option, int number) {
    return real.setsockopt(socket.number(), level, option, &number, sizeof(number)) == 0;
}

void write_congestion(const ListenerState& state, BorrowedFd socket) {
    if (state.congestion[0] == '\0') return;
    real.setsockopt(
        socket.number(), IPPROTO_TCP, TCP_CONGESTION, state.congestion.data(),
        static_cast<socklen_t>(strnlen(state.congestion.data(), state.congestion.size())));
}

void copy_native_option(BorrowedFd from, BorrowedFd to, const NativeOption& native) {
    OptionValue value;
    if (!read_option(from, SOL_SOCKET, native.option, value)) return;
    if (native.reads_doubled) {
        write_int(to, SOL_SOCKET, native.option, value.as_int() / 2);
    } else {
        real.setsockopt(to.number(), SOL_SOCKET, native.option, value.bytes.data(), value.length);
    }
}

uint32_t bit_of(size_t position) {
    return uint32_t{1} << position;
}

size_t native_position(int option) {
    return static_cast<size_t>(
        std::find_if(NativeOptions.begin(), NativeOptions.end(),
                     [&](const NativeOption& native) { return native.option == option; }) -
        NativeOptions.begin());
}

void keep_congestion(ListenerState& state, const OptionValue& name) {
    state.congestion = {};
    memcpy(state.congestion.data(), name.bytes.data(),
           std::min(size_t{name.length}, state.congestion.size()));
}

}  // namespace

void carry_options(BorrowedFd tcp_socket, BorrowedFd untouched, StandIn& stand_in) {
    ListenerState& state = stand_in.state;
    OptionValue set, normal;
    for (size_t i = 0; i < NativeOptions.size(); i++) {
        const int option = NativeOptions[i].option;
        const bool was_set = (state.native_options & bit_of(i)) != 0;
        if (!read_option(tcp_socket, SOL_SOCKET, option, set) ||
            !read_option(untouched, SOL_SOCKET, option, normal))
            continue;
        const bool is_set = !(set == normal);
        if (is_set || was_set) copy_native_option(tcp_socket, stand_in.fd, NativeOptions[i]);
        state.native_options &= ~bit_of(i);
        if (is_set) state.native_options |= bit_of(i);
    }
    state.kept_count = 0;
    for (const IntOption& known : IntOptions) {
        if (read_option(tcp_socket, known.level, known.option, set) &&
            read_option(untouched, known.level, known.option, normal) && !(set == normal))
            state.keep(known.level, known.option, set.as_int());
    }
    state.congestion = {};
    if (read_option(tcp_socket, IPPROTO_TCP, TCP_CONGESTION, set) &&
        read_option(untouched, IPPROTO_TCP, TCP_CONGESTION, normal) && !(set == normal))
        keep_congestion(state, set);
    // Not passed on, but a program may ask for them again.
    if (read_option(tcp_socket, SOL_SOCKET, SO_REUSEADDR, set))
        write_int(stand_in.fd, SOL_SOCKET, SO_REUSEADDR, set.as_int());
    if (read_option(tcp_socket, SOL_SOCKET, SO_REUSEPORT, set))
        state.reuses_port = set.as_int() != 0;
}

bool is_native_option(int level, int option) {
    return level == SOL_SOCKET && native_position(option) < NativeOptions.size();
}

void note_native_option(StandIn& stand_in, int option) {
    const uint32_t bit = bit_of(native_position(option));
    if ((stand_in.state.native_options & bit) != 0) return;
    stand_in.state.native_options |= bit;
    stand_in.store();
}

bool was_native_option_set(const ListenerState& state, int option) {
    const size_t position = native_position(option);
    return position < NativeOptions.size() && (state.native_options & bit_of(position)) != 0;
}

void keep_option(const StandIn& stand_in, BorrowedFd tcp_socket, int level, int option) {
    OptionValue value;
    if (!read_option(tcp_socket, level, option, value)) return;
    StandIn changed = stand_in;
    if (level == IPPROTO_TCP && option == TCP_CONGESTION) {
        keep_congestion(changed.state, value);
    } else if (find_int_option(level, option) == nullptr ||
               !changed.state.keep(level, option, value.as_int())) {
        return;
    }
    changed.store();
}

bool has_options_to_pass_on(const ListenerState& state) {
    if (state.congestion[0] != '\0') return true;
    for (size_t i = 0; i < NativeOptions.size(); i++) {
        if (NativeOptions[i].is_passed_on && (state.native_options & bit_of(i)) != 0) return true;
    }
    for (size_t i = 0; i < state.kept_count; i++) {
        const ListenerState::KeptOption& kept = state.kept_options[i];
        const IntOption* const known = find_int_option(kept.level, kept.option);
        if (known != nullptr && known->is_passed_on) return true;
    }
    return false;
}

void pass_on_options(const StandIn& stand_in, BorrowedFd connection) {
    const int saved_errno = errno;
    const ListenerState& state = stand_in.state;
    for (size_t i = 0; state.native_options != 0 && i < NativeOptions.size(); i++) {
        if (NativeOptions[i].is_passed_on && (state.native_options & bit_of(i)) != 0)
            copy_native_option(stand_in.fd, connection, NativeOptions[i]);
    }
    for (size_t i = 0; i < state.kept_count; i++) {
        const ListenerState::KeptOption& kept = state.kept_options[i];
        const IntOption* const known = find_int_option(kept.level, kept.option);
        if (known != nullptr && known->is_passed_on)
            write_int(connection, kept.level, kept.option, kept.value);
    }
    write_congestion(state, connection);
    // Its side effect (socket(7), SO_PRIORITY) is the listener's alone.
    if (state.find(IPPROTO_IP, IP_TOS) != nullptr)
        write_int(connection, SOL_SOCKET, SO_PRIORITY, 0);
    errno = saved_errno;
}

void apply_kept_options(const ListenerState& state, BorrowedFd tcp_socket) {
    for (size_t i = 0; i < state.kept_count; i++)
        write_int(tcp_socket, state.kept_options[i].level, state.kept_options[i].option,
                  state.kept_options[i].value);
    write_congestion(state, tcp_socket);
}

}  // namespace proxyd
