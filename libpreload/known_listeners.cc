// SPDX-License-Identifier: MIT
#include "libpreload/known_listeners.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <sys/resource.h>

#include <array>
#include <atomic>
#include <cstddef>

namespace proxyd {
namespace {

// Higher numbers are never known, which costs them a system call or two.
constexpr int NumbersMax = 4096;
constinit std::array<std::atomic<uint64_t>, NumbersMax / 64> known{};

constinit std::atomic<int> highest_number{-1};  // not known yet
constinit std::atomic<int> number_limit{0};

bool is_in_range(int fd) {
    return fd >= 0 && fd < NumbersMax;
}

std::atomic<uint64_t>& word_of(int fd) {
    return known[static_cast<size_t>(fd) / 64];
}

uint64_t bit_of(int fd) {
    return uint64_t{1} << (static_cast<unsigned>(fd) % 64);
}

}  // namespace

bool is_known_listener(int fd) {
    return is_in_range(fd) && (word_of(fd).load(std::memory_order_relaxed) & bit_of(fd)) != 0;
}

void learn_listener(int fd) {
    if (is_in_range(fd)) word_of(fd).fetch_or(bit_of(fd), std::memory_order_relaxed);
}

void forget_listener(int fd) {
    if (is_in_range(fd)) word_of(fd).fetch_and(~bit_of(fd), std::memory_order_relaxed);
}

bool has_room_for_certain() {
    const int highest = highest_number.load(std::memory_order_relaxed);
    return highest >= 0 && highest < number_limit.load(std::memory_order_relaxed) / 2;
}

void note_number(int number) {
    int highest = highest_number.load(std::memory_order_relaxed);
    while (number > highest &&
           !highest_number.compare_exchange_weak(highest, number, std::memory_order_relaxed)) {
    }
}

void note_lack_of_numbers() {
    note_number(INT_MAX);
}

void read_number_limit() {
    const int saved_errno = errno;
    rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = 0;
    number_limit.store(limit.rlim_cur > INT_MAX ? INT_MAX : static_cast<int>(limit.rlim_cur),
                       std::memory_order_relaxed);
    errno = saved_errno;
}

}  // namespace proxyd
