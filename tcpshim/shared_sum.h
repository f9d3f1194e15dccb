// SPDX-License-Identifier: MIT
//
// SharedSum: numbers in memory that other processes change, looked at as one. Used by elsewhere,
// and by those whose limits it counts for.
#pragma once

#include "base/daemon/metrics/shared_number.h"

#include <cstdint>
#include <vector>

namespace proxyd::shim {

class SharedSum {
  public:
    void add(const SharedNumber& number) { numbers_.push_back(&number); }
    bool empty() const { return numbers_.empty(); }
    uint64_t read() const {
        uint64_t sum = 0;
        for (const SharedNumber* number : numbers_)
            sum += number->read();
        return sum;
    }

  private:
    std::vector<const SharedNumber*> numbers_;
};

}  // namespace proxyd::shim
