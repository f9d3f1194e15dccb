// SPDX-License-Identifier: MIT
//
// ByteReader walks a span of bytes from the network and can't leave it: every read says whether
// there was enough. Integers are big-endian. Used by the parsers of TLS and of the wire header.
// It doesn't copy: blocks are views into the span.
#pragma once

#include <stdint.h>

#include <cstddef>
#include <optional>
#include <span>

namespace proxyd {

using Bytes = std::span<const uint8_t>;

class ByteReader {
  public:
    constexpr explicit ByteReader(Bytes bytes) : rest_(bytes) {}

    constexpr bool at_end() const { return rest_.empty(); }
    constexpr Bytes rest() const { return rest_; }

    // The next `count` bytes, or nothing (and no progress) if there are fewer.
    constexpr std::optional<Bytes> take(size_t count) {
        if (count > rest_.size()) return std::nullopt;
        const Bytes taken = rest_.first(count);
        rest_ = rest_.subspan(count);
        return taken;
    }

    constexpr std::optional<uint32_t> u8() { return integer(1); }
    constexpr std::optional<uint32_t> u16() { return integer(2); }
    constexpr std::optional<uint32_t> u24() { return integer(3); }

    // A block behind its length (RFC 8446 section 3.4: variable-length vectors).
    constexpr std::optional<Bytes> block_u8() { return block(1); }
    constexpr std::optional<Bytes> block_u16() { return block(2); }

  private:
    constexpr std::optional<uint32_t> integer(size_t width) {
        const std::optional<Bytes> bytes = take(width);
        if (!bytes) return std::nullopt;
        uint32_t value = 0;
        for (const uint8_t byte : *bytes)
            value = value << 8 | byte;
        return value;
    }

    constexpr std::optional<Bytes> block(size_t width) {
        const Bytes before = rest_;
        const std::optional<uint32_t> length = integer(width);
        const std::optional<Bytes> content = length ? take(*length) : std::nullopt;
        if (!content) rest_ = before;
        return content;
    }

    Bytes rest_;
};

}  // namespace proxyd
