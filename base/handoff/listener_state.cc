// SPDX-License-Identifier: MIT
//
// The program: "return everything", a "load" for each word of the state, which is never reached,
// and "return everything" again, since a program must end with a return.
#include "base/handoff/listener_state.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>

namespace proxyd {
namespace {

constexpr uint32_t Magic = 0x70787031;  // "pxp1"
constexpr uint16_t PassCode = BPF_RET | BPF_K;
constexpr uint16_t WordCode = BPF_LD | BPF_IMM;
constexpr uint32_t Everything = 0xffffffff;

enum Position : size_t {
    MagicWord,
    Flags,
    Port,
    Index,
    Address,  // 4 words, as the kernel has them
    Scope = Address + 4,
    Claimant,
    NativeOptions,
    Congestion,  // 4 words
    KeptCount = Congestion + 4,
    KeptOptions,  // 2 words each
};
enum Flag : uint32_t { IsIpv4 = 1, IsIpv6Only = 2, IsListening = 4, ReusesPort = 8 };
// The rest of that word. 28 bits of clock ticks come again after a month.
constexpr unsigned StartShift = 4;
constexpr uint32_t StartMask = 0xffffffff >> StartShift;

constexpr size_t WordsMax = KeptOptions + 2 * ListenerState::KeptOptionsMax;
using Words = std::array<uint32_t, WordsMax>;

size_t write_words(const ListenerState& state, Words& words) {
    const SocketAddress& address = state.label.address;
    const bool is_ipv4 = address.family() == AF_INET;
    words[MagicWord] = Magic;
    words[Flags] = (is_ipv4 ? IsIpv4 : 0u) | (state.label.is_ipv6_only ? IsIpv6Only : 0u) |
                   (state.is_listening ? IsListening : 0u) | (state.reuses_port ? ReusesPort : 0u) |
                   (state.claimant_start & StartMask) << StartShift;
    words[Port] = address.port();
    words[Index] = state.label.index;
    if (is_ipv4) {
        memcpy(&words[Address], &address.ipv4(), sizeof(in_addr));
    } else {
        memcpy(&words[Address], &address.ipv6(), sizeof(in6_addr));
        words[Scope] = address.scope_id();
    }
    words[Claimant] = static_cast<uint32_t>(state.claimant);
    words[NativeOptions] = state.native_options;
    memcpy(&words[Congestion], state.congestion.data(), state.congestion.size());
    words[KeptCount] = static_cast<uint32_t>(state.kept_count);
    size_t next = KeptOptions;
    for (size_t i = 0; i < state.kept_count; i++) {
        const ListenerState::KeptOption& kept = state.kept_options[i];
        words[next++] = uint32_t{kept.level} << 16 | kept.option;
        words[next++] = static_cast<uint32_t>(kept.value);
    }
    return next;
}

std::optional<ListenerState> read_words(const Words& words, size_t count) {
    if (count < KeptOptions || words[MagicWord] != Magic ||
        words[KeptCount] > ListenerState::KeptOptionsMax ||
        count != KeptOptions + 2 * words[KeptCount])
        return std::nullopt;
    ListenerState state;
    const auto port = static_cast<uint16_t>(words[Port]);
    if ((words[Flags] & IsIpv4) != 0) {
        in_addr address;
        memcpy(&address, &words[Address], sizeof(address));
        state.label.address = SocketAddress::from_ipv4(address, port);
    } else {
        in6_addr address;
        memcpy(&address, &words[Address], sizeof(address));
        state.label.address = SocketAddress::from_ipv6(address, port, words[Scope]);
    }
    state.label.index = words[Index];
    state.label.is_ipv6_only = (words[Flags] & IsIpv6Only) != 0;
    state.is_listening = (words[Flags] & IsListening) != 0;
    state.reuses_port = (words[Flags] & ReusesPort) != 0;
    state.claimant = static_cast<pid_t>(words[Claimant]);
    state.claimant_start = words[Flags] >> StartShift;
    state.native_options = words[NativeOptions];
    memcpy(state.congestion.data(), &words[Congestion], state.congestion.size());
    state.kept_count = words[KeptCount];
    for (size_t i = 0; i < state.kept_count; i++) {
        const uint32_t name = words[KeptOptions + 2 * i];
        state.kept_options[i] = {static_cast<uint8_t>(name >> 16), static_cast<uint16_t>(name),
                                 static_cast<int>(words[KeptOptions + 2 * i + 1])};
    }
    return state;
}

}  // namespace

const ListenerState::KeptOption* ListenerState::find(int level, int option) const {
    for (size_t i = 0; i < kept_count; i++) {
        if (kept_options[i].level == level && kept_options[i].option == option)
            return &kept_options[i];
    }
    return nullptr;
}

bool ListenerState::keep(int level, int option, int value) {
    const KeptOption* const known = find(level, option);
    const size_t place =
        known != nullptr ? static_cast<size_t>(known - kept_options.data()) : kept_count;
    if (place == kept_options.size()) return false;
    kept_options[place] = {static_cast<uint8_t>(level), static_cast<uint16_t>(option), value};
    if (known == nullptr) kept_count++;
    return true;
}

// Field 22 of /proc/PID/stat (proc(5)). The second one is a name in parentheses, in which there may
// be anything.
uint32_t ListenerState::start_of(pid_t process) {
    const int saved_errno = errno;
    char text[1024];
    snprintf(text, sizeof(text), "/proc/%d/stat", process);
    const UniqueFd file = UniqueFd::adopt(open(text, O_RDONLY | O_CLOEXEC));
    const ssize_t size = file.is_open() ? read(file.borrow().number(), text, sizeof(text) - 1) : 0;
    errno = saved_errno;
    if (size <= 0) return 0;
    text[size] = '\0';
    const char* next = strrchr(text, ')');
    for (int field = 2; next != nullptr && field < 22; field++)
        next = strchr(next + 1, ' ');
    if (next == nullptr) return 0;
    uint64_t ticks = 0;
    std::from_chars(next + 1, text + size, ticks);
    const auto start = static_cast<uint32_t>(ticks) & StartMask;
    return start != 0 ? start : 1;
}

std::optional<ListenerState> ListenerState::of(BorrowedFd socket) {
    std::array<sock_filter, WordsMax + 2> program;
    socklen_t count = program.size();  // in and out: a number of instructions
    const int saved_errno = errno;
    const int outcome =
        getsockopt(socket.number(), SOL_SOCKET, SO_GET_FILTER, program.data(), &count);
    errno = saved_errno;
    if (outcome != 0 || count < 2 || count > program.size()) return std::nullopt;
    Words words{};
    for (size_t i = 0; i + 2 < count; i++) {
        if (program[i + 1].code != WordCode) return std::nullopt;
        words[i] = program[i + 1].k;
    }
    return read_words(words, count - 2);
}

bool ListenerState::store_in(BorrowedFd socket) const {
    Words words{};
    const size_t count = write_words(*this, words);
    std::array<sock_filter, WordsMax + 2> program;
    program[0] = {PassCode, 0, 0, Everything};
    for (size_t i = 0; i < count; i++)
        program[i + 1] = {WordCode, 0, 0, words[i]};
    program[count + 1] = {PassCode, 0, 0, Everything};
    const sock_fprog filter = {static_cast<unsigned short>(count + 2), program.data()};
    const int saved_errno = errno;
    const int outcome =
        setsockopt(socket.number(), SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter));
    errno = saved_errno;
    return outcome == 0;
}

}  // namespace proxyd
