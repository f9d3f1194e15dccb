// SPDX-License-Identifier: MIT
#include "proxyd/alpn_list.h"

#include "base/daemon/log.h"

#include <string.h>

namespace proxyd {
namespace {

std::string_view as_text(Bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A protocol may have commas of its own.
void append_protocol(std::string& text, std::string_view protocol) {
    for (size_t comma; (comma = protocol.find(',')) != protocol.npos;) {
        append_escaped(text, protocol.substr(0, comma));
        text += "\\x2c";
        protocol.remove_prefix(comma + 1);
    }
    append_escaped(text, protocol);
}

}  // namespace

AlpnList AlpnList::copy_of(Bytes protocol_names) {
    AlpnList list;
    ByteReader reader(protocol_names);
    while (const auto protocol = reader.block_u8()) {
        const size_t entry_bytes = 1 + protocol->size();
        if (list.size_ + entry_bytes > BytesMax) break;
        memcpy(&list.protocols_[list.size_], protocol->data() - 1, entry_bytes);
        list.size_ = static_cast<uint16_t>(list.size_ + entry_bytes);
    }
    return list;
}

std::string_view AlpnList::first() const {
    const auto protocol = ByteReader(Bytes(protocols_).first(size_)).block_u8();
    return protocol ? as_text(*protocol) : std::string_view();
}

bool AlpnList::add(std::string_view protocol) {
    if (protocol.empty() || protocol.size() > 255 || size_ + 1 + protocol.size() > BytesMax)
        return false;
    protocols_[size_] = static_cast<uint8_t>(protocol.size());
    memcpy(&protocols_[size_ + 1], protocol.data(), protocol.size());
    size_ = static_cast<uint16_t>(size_ + 1 + protocol.size());
    return true;
}

bool AlpnList::contains(std::string_view protocol) const {
    return find_first([protocol](std::string_view offered) { return offered == protocol; });
}

void AlpnList::append_to(std::string& text) const {
    ByteReader reader(Bytes(protocols_).first(size_));
    std::string_view separator;
    while (const auto protocol = reader.block_u8()) {
        text += separator;
        append_protocol(text, as_text(*protocol));
        separator = ",";
    }
}

}  // namespace proxyd
