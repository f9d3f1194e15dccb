// SPDX-License-Identifier: MIT
#include "base/daemon/line_buffer.h"

#include <algorithm>

namespace proxyd {

void LineBuffer::append(std::string_view bytes) {
    bytes_.erase(0, taken_);
    searched_ -= taken_;
    taken_ = 0;
    bytes_.append(bytes);
}

std::optional<std::string_view> LineBuffer::next() {
    if (is_too_long_) return std::nullopt;
    const size_t end = bytes_.find('\n', searched_);
    searched_ = end == bytes_.npos ? bytes_.size() : end + 1;
    const size_t size = (end == bytes_.npos ? bytes_.size() : end) - taken_;
    is_too_long_ = size > line_bytes_max_;
    if (is_too_long_ || end == bytes_.npos) return std::nullopt;
    std::string_view line(bytes_.data() + taken_, size);
    taken_ = searched_;
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
}

}  // namespace proxyd
