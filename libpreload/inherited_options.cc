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

// An option of SOL_SOCKET; its position in the table is its bit in ListenerWord::NativeOptions.
struct NativeOption {
    int option;
    bool reads_doubled;  // socket(7), SO_RCVBUF: getsockopt gives twice what setsockopt took
};

constexpr std::array<NativeOption, 8> NativeOptions = {{
    {SO_KEEPALIVE, false},
    {SO_LINGER, false},
    {SO_RCVBUF, true},
    {SO_SNDBUF, true},
    {SO_RCVTIMEO, false},
    {SO_SNDTIMEO, false},
    {SO_PRIORITY, false},
    {SO_RCVLOWAT, false},
}};
static_assert(NativeOptions.size() == ListenerWord::NativeOptions.bits);

// An option of TCP or IP with an int as its value, kept in the word.
struct KeptOption {
    int level;
    int option;
    ListenerWord::Field field;
    sa_family_t family;  // AF_UNSPEC: of both
};

constexpr std::array KeptOptions = {
    KeptOption{IPPROTO_TCP, TCP_NODELAY, ListenerWord::NoDelay, AF_UNSPEC},
    KeptOption{IPPROTO_TCP, TCP_KEEPIDLE, ListenerWord::KeepIdle, AF_UNSPEC},
    KeptOption{IPPROTO_TCP, TCP_KEEPINTVL, ListenerWord::KeepInterval, AF_UNSPEC},
    KeptOption{IPPROTO_TCP, TCP_KEEPCNT, ListenerWord::KeepCount, AF_UNSPEC},
    KeptOption{IPPROTO_IP, IP_TOS, ListenerWord::TypeOfService, AF_INET},
    KeptOption{IPPROTO_IPV6, IPV6_TCLASS, ListenerWord::TypeOfService, AF_INET6},
};

bool exists_for(const KeptOption& kept, sa_family_t family) {
    return kept.family == AF_UNSPEC || kept.family == family;
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

void add_native_bits(ListenerWord& word, uint32_t bits) {
    word.set(ListenerWord::NativeOptions, word.get(ListenerWord::NativeOptions) | bits);
}

size_t native_position(int option) {
    return static_cast<size_t>(
        std::find_if(NativeOptions.begin(), NativeOptions.end(),
                     [&](const NativeOption& native) { return native.option == option; }) -
        NativeOptions.begin());
}

sa_family_t family_of(BorrowedFd tcp_socket) {
    OptionValue value;
    return read_option(tcp_socket, SOL_SOCKET, SO_DOMAIN, value)
               ? static_cast<sa_family_t>(value.as_int())
               : sa_family_t{AF_UNSPEC};
}

}  // namespace

void carry_options(BorrowedFd tcp_socket, BorrowedFd untouched, BorrowedFd stand_in) {
    const sa_family_t family = family_of(tcp_socket);
    ListenerWord word;
    OptionValue set, normal;
    for (size_t i = 0; i < NativeOptions.size(); i++) {
        const int option = NativeOptions[i].option;
        if (!read_option(tcp_socket, SOL_SOCKET, option, set) ||
            !read_option(untouched, SOL_SOCKET, option, normal) || set == normal)
            continue;
        copy_native_option(tcp_socket, stand_in, NativeOptions[i]);
        add_native_bits(word, bit_of(i));
    }
    for (const KeptOption& kept : KeptOptions) {
        if (!exists_for(kept, family) || !read_option(tcp_socket, kept.level, kept.option, set) ||
            !read_option(untouched, kept.level, kept.option, normal) || set == normal)
            continue;
        word.set(kept.field, static_cast<uint32_t>(set.as_int()));
    }
    // Not passed on, but a program may ask for them again.
    if (read_option(tcp_socket, SOL_SOCKET, SO_REUSEADDR, set))
        write_int(stand_in, SOL_SOCKET, SO_REUSEADDR, set.as_int());
    if (read_option(tcp_socket, SOL_SOCKET, SO_REUSEPORT, set))
        word.set(ListenerWord::ReusePort, set.as_int() != 0);
    word.store_in(stand_in);
}

bool is_native_option(int level, int option) {
    return level == SOL_SOCKET && native_position(option) < NativeOptions.size();
}

void note_native_option(const StandIn& stand_in, int option) {
    ListenerWord word = ListenerWord::of(stand_in.fd);
    add_native_bits(word, bit_of(native_position(option)));
    word.store_in(stand_in.fd);
}

bool was_native_option_set(ListenerWord word, int option) {
    const size_t position = native_position(option);
    return position < NativeOptions.size() &&
           (word.get(ListenerWord::NativeOptions) & bit_of(position)) != 0;
}

bool keep_option(const StandIn& stand_in, BorrowedFd tcp_socket, int level, int option) {
    for (const KeptOption& kept : KeptOptions) {
        if (kept.level != level || kept.option != option || !exists_for(kept, stand_in.family()))
            continue;
        OptionValue value;
        if (!read_option(tcp_socket, level, option, value)) return false;
        ListenerWord word = ListenerWord::of(stand_in.fd);
        word.set(kept.field, static_cast<uint32_t>(value.as_int()));
        return word.store_in(stand_in.fd);
    }
    return false;
}

void pass_on_options(const StandIn& stand_in, ListenerWord word, BorrowedFd connection) {
    const int saved_errno = errno;
    const uint32_t native_bits = word.get(ListenerWord::NativeOptions);
    for (size_t i = 0; native_bits != 0 && i < NativeOptions.size(); i++) {
        if ((native_bits & bit_of(i)) != 0)
            copy_native_option(stand_in.fd, connection, NativeOptions[i]);
    }
    apply_kept_options(stand_in.family(), word, connection);
    errno = saved_errno;
}

void apply_kept_options(sa_family_t family, ListenerWord word, BorrowedFd tcp_socket) {
    for (const KeptOption& kept : KeptOptions) {
        const uint32_t value = word.get(kept.field);
        if (value != 0 && exists_for(kept, family))
            write_int(tcp_socket, kept.level, kept.option, static_cast<int>(value));
    }
}

}  // namespace proxyd
