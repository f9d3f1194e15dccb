// SPDX-License-Identifier: MIT
//
// LineBuffer: bytes in, whole lines out, with a bound on the length of a line. Used by control
// connections.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace proxyd {

class LineBuffer {
  public:
    explicit LineBuffer(size_t line_bytes_max) : line_bytes_max_(line_bytes_max) {}

    void append(std::string_view bytes);

    // The next whole line without its end ("\n" or "\r\n"); the view holds until the next call of
    // anything. Nothing: it isn't all there.
    std::optional<std::string_view> next();
    // Whether the line that is not all there is too long already. Whole lines that are too long
    // count too: next() doesn't give them out.
    bool is_too_long() const { return is_too_long_; }
    bool is_empty() const { return taken_ == bytes_.size(); }

  private:
    const size_t line_bytes_max_;
    std::string bytes_;
    size_t taken_ = 0;     // bytes at the beginning that were given out
    size_t searched_ = 0;  // up to where there is no end of a line
    bool is_too_long_ = false;
};

}  // namespace proxyd
