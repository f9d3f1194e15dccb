// SPDX-License-Identifier: MIT
//
// Sets of eight entries; a cookie's lowest bits choose the set (cookies are numbered
// consecutively). An entry is written between two changes of its cookie, 0 meaning "nobody's" and
// all ones "being written"; a reader who finds the cookie unchanged after reading has read one
// client's address.
#include "libpreload/stated_addresses.h"

#include "libpreload/real_calls.h"

#include <stdint.h>
#include <string.h>

#include <array>
#include <atomic>
#include <cstddef>

namespace proxyd {
namespace {

constexpr size_t SetCount = 1024;
constexpr size_t SetSize = 8;
constexpr uint64_t BeingWritten = ~uint64_t{0};
constexpr size_t WordCount = (sizeof(sockaddr_in6) + 7) / 8;
using Words = std::array<uint64_t, WordCount>;

struct Entry {
    std::atomic<uint64_t> cookie{0};
    std::array<std::atomic<uint64_t>, WordCount> words{};
};

struct Set {
    std::array<Entry, SetSize> entries;
    std::atomic<uint32_t> turn{0};
};

constinit std::array<Set, SetCount> table{};

uint64_t cookie_of(BorrowedFd socket) {
    uint64_t cookie = 0;
    socklen_t length = sizeof(cookie);
    return real.getsockopt(socket.number(), SOL_SOCKET, SO_COOKIE, &cookie, &length) == 0 ? cookie
                                                                                          : 0;
}

Set& set_of(uint64_t cookie) {
    return table[cookie % SetCount];
}

// The next entry of the set that nobody else is writing, marked as being written.
Entry* take_entry(Set& set) {
    for (size_t attempt = 0; attempt < SetSize; attempt++) {
        Entry& entry = set.entries[set.turn.fetch_add(1, std::memory_order_relaxed) % SetSize];
        uint64_t before = entry.cookie.load(std::memory_order_relaxed);
        if (before != BeingWritten &&
            entry.cookie.compare_exchange_strong(before, BeingWritten, std::memory_order_acq_rel))
            return &entry;
    }
    return nullptr;
}

}  // namespace

void remember_stated_address(BorrowedFd connection, const SocketAddress& client) {
    const uint64_t cookie = cookie_of(connection);
    if (cookie == 0) return;
    Entry* const entry = take_entry(set_of(cookie));
    if (entry == nullptr) return;
    Words words{};
    memcpy(words.data(), client.kernel_address(), client.kernel_length());
    for (size_t i = 0; i < WordCount; i++)
        entry->words[i].store(words[i], std::memory_order_release);
    entry->cookie.store(cookie, std::memory_order_release);
}

std::optional<SocketAddress> stated_address_of(BorrowedFd connection) {
    const uint64_t cookie = cookie_of(connection);
    if (cookie == 0) return std::nullopt;
    for (Entry& entry : set_of(cookie).entries) {
        if (entry.cookie.load(std::memory_order_acquire) != cookie) continue;
        Words words;
        for (size_t i = 0; i < WordCount; i++)
            words[i] = entry.words[i].load(std::memory_order_acquire);
        if (entry.cookie.load(std::memory_order_acquire) != cookie) continue;
        sockaddr_in6 address;
        memcpy(&address, words.data(), sizeof(address));
        return SocketAddress::from_kernel(reinterpret_cast<const sockaddr*>(&address),
                                          sizeof(address));
    }
    return std::nullopt;
}

}  // namespace proxyd
