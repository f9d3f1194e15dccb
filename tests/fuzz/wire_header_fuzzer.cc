// SPDX-License-Identifier: MIT
//
// Fuzz target: decode_wire_header(), and encode_wire_header() with what it gave.
#include "base/handoff/wire_header.h"

#include <assert.h>

#include <array>

namespace {

using proxyd::Bytes;
using proxyd::decode_wire_header;
using proxyd::encode_wire_header;
using proxyd::WireHeaderBytesMax;

bool lies_in(std::string_view view, Bytes bytes) {
    const auto* begin = reinterpret_cast<const uint8_t*>(view.data());
    return view.empty() ||
           (begin >= bytes.data() && begin + view.size() <= bytes.data() + bytes.size());
}

// What a value becomes when it is written: too long ones are left out.
std::string_view as_written(std::string_view value, size_t bytes_max) {
    return value.size() <= bytes_max ? value : std::string_view();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const Bytes payload(data, size);
    const auto read = decode_wire_header(payload);
    if (!read) return 0;
    assert(lies_in(read->alpn, payload) && lies_in(read->name, payload) &&
           lies_in(read->id, payload));
    assert(read->source.family() == read->destination.family());

    std::array<uint8_t, WireHeaderBytesMax> written;
    const Bytes header = Bytes(written).first(encode_wire_header(*read, written));
    const auto again = decode_wire_header(header);
    assert(again && again->source == read->source && again->destination == read->destination);
    assert(again->alpn == as_written(read->alpn, 255));
    assert(again->name == as_written(read->name, 255));
    assert(again->id == as_written(read->id, 128));
    return 0;
}
