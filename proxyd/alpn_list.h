// SPDX-License-Identifier: MIT
//
// AlpnList: the application protocols that a client offers in its ClientHello, in its order (RFC
// 7301 section 3.1). A value without heap memory: what does not fit is left out from the end.
// Used by the ClientHello parser, the access log and the handoff's payload.
#pragma once

#include "base/posix/byte_reader.h"

#include <stdint.h>

#include <array>
#include <string>
#include <string_view>

namespace proxyd {

class AlpnList {
  public:
    // Protocols with their length bytes: room for the longest one that there can be.
    static constexpr size_t BytesMax = 256;

    AlpnList() = default;
    // Of protocol_name_list's content (lengths and names, which the parser has checked).
    static AlpnList copy_of(Bytes protocol_names);
    // False, and nothing added, for one that is empty, longer than 255 bytes, or doesn't fit.
    bool add(std::string_view protocol);

    bool is_empty() const { return size_ == 0; }
    std::string_view first() const;  // "" if empty
    bool contains(std::string_view protocol) const;
    // Calls `found` with one after another until it says true; whether it did.
    template <typename Found>
    bool find_first(Found found) const {
        ByteReader reader(Bytes(protocols_).first(size_));
        while (const auto protocol = reader.block_u8())
            if (found(std::string_view(reinterpret_cast<const char*>(protocol->data()),
                                       protocol->size())))
                return true;
        return false;
    }
    // "h2,http/1.1", escaped (append_escaped), a comma within a protocol, too.
    void append_to(std::string& text) const;

  private:
    std::array<uint8_t, BytesMax> protocols_{};
    uint16_t size_ = 0;
};

}  // namespace proxyd
