// SPDX-License-Identifier: MIT
#include "libpreload/known_listeners.h"

#include <stdint.h>

#include <array>
#include <atomic>
#include <cstddef>

namespace proxyd {
namespace {

// Higher numbers are never known, which costs them a system call.
constexpr int NumbersMax = 4096;
constinit std::array<std::atomic<uint64_t>, NumbersMax / 64> known{};

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

}  // namespace proxyd
