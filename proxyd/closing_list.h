// SPDX-License-Identifier: MIT
//
// ClosingList: sockets that have been handed over, and of which our copy is to be closed. Under
// load clients come many at a time, their descriptors have numbers in a row, and a row is closed by
// one system call. Used by session and worker, which closes before it waits, and before it logs.
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
