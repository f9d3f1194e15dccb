// SPDX-License-Identifier: MIT
#include "base/daemon/closing_list.h"

#include <unistd.h>

#include <algorithm>

namespace proxyd {

void ClosingList::close_all() {
    std::sort(numbers_.begin(), numbers_.begin() + static_cast<ptrdiff_t>(count_));
    for (size_t begin = 0, end; begin < count_; begin = end) {
        end = begin + 1;
        while (end < count_ && numbers_[end] == numbers_[end - 1] + 1)
            end++;
        const int first = numbers_[begin], last = numbers_[end - 1];
        // A kernel before 5.9 has no close_range(2).
        if (first == last ||
            close_range(static_cast<unsigned>(first), static_cast<unsigned>(last), 0) != 0)
            for (int number = first; number <= last; number++)
                close(number);
    }
    count_ = 0;
}

}  // namespace proxyd
