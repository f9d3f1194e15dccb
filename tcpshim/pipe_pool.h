// SPDX-License-Identifier: MIT
//
// PipePool: the pipes through which bytes are spliced from one socket to another. A relay has one
// only while there are bytes in it, so a few serve thousands of relays. Used by RelayDirection.
#pragma once

#include "base/posix/unique_fd.h"

#include <cstddef>
#include <vector>

namespace proxyd::shim {

struct Pipe {
    UniqueFd read_end, write_end;
    size_t capacity = 0;  // bytes

    bool is_open() const { return read_end.is_open(); }
};

class PipePool {
  public:
    // So many pipes at most, the lent ones included; those beyond `idle_max` are closed when they
    // come back. `pipe_bytes` is asked for; an unprivileged user gets less when he has many
    // (sysctl fs.pipe-user-pages-soft).
    PipePool(size_t pipes_max, size_t idle_max, size_t pipe_bytes)
        : pipes_max_(pipes_max), idle_max_(idle_max), pipe_bytes_(pipe_bytes) {}

    // How many bytes the next one holds; 0: there is none to be had.
    size_t reserve_one();
    Pipe take();                // only after reserve_one()
    void give_back(Pipe pipe);  // empty
    void discard(Pipe pipe);    // with bytes in it that nobody wants any more

    // Closes idle ones beyond so many.
    void trim(size_t keep);

    size_t open_count() const { return lent_ + idle_.size(); }

  private:
    size_t pipes_max_, idle_max_, pipe_bytes_;
    size_t lent_ = 0;
    std::vector<Pipe> idle_;
};

}  // namespace proxyd::shim
