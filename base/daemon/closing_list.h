// SPDX-License-Identifier: MIT
//
// ClosingList: sockets that are to be closed in this round of the loop: proxyd's copies of those
// that have been handed over, and both of a relay that has ended. Their descriptors have numbers in
// a row, mostly, and a row is closed by one system call. Used by both daemons' workers, which close
// before they wait.
#pragma once

#include "base/posix/unique_fd.h"

#include <array>
#include <cstddef>

namespace proxyd {

class ClosingList {
  public:
    // No more stay open: a server that ends a connection waits for our copy.
    static constexpr size_t SocketsMax = 32;

    ClosingList() = default;
    ~ClosingList() { close_all(); }
    ClosingList(const ClosingList&) = delete;
    ClosingList& operator=(const ClosingList&) = delete;

    void add(UniqueFd socket) {
        if (count_ == SocketsMax) close_all();
        numbers_[count_++] = socket.release();
    }
    void close_all();

  private:
    std::array<int, SocketsMax> numbers_;
    size_t count_ = 0;
};

}  // namespace proxyd
