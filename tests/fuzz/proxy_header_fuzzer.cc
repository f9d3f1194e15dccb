// SPDX-License-Identifier: MIT
//
// Fuzz target: parse_proxy_header(), and begins_with_proxy_header() before it.
#include "proxyd/proxy_header.h"

#include <assert.h>

#include <algorithm>

namespace {

using proxyd::Bytes;
using proxyd::Malformed;
using proxyd::NeedMore;
using proxyd::ProxyHeader;
using proxyd::ProxyHeaderOutcome;

void check(const ProxyHeaderOutcome& outcome, Bytes bytes) {
    const auto is_header = proxyd::begins_with_proxy_header(bytes);
    if (const auto* more = std::get_if<NeedMore>(&outcome)) {
        assert(is_header != false && more->bytes_min > bytes.size());
        assert(more->bytes_min <= proxyd::ProxyHeaderBytesMax);
    } else if (const auto* malformed = std::get_if<Malformed>(&outcome)) {
        assert(malformed->reason ==
               (is_header == true ? "proxy_header_malformed" : "proxy_header_missing"));
    } else {
        const auto& header = std::get<ProxyHeader>(outcome);
        assert(is_header == true && header.size <= bytes.size());
        assert(header.source.family() == header.destination.family());
    }
}

bool is_same(const ProxyHeaderOutcome& a, const ProxyHeaderOutcome& b) {
    if (a.index() != b.index()) return false;
    if (const auto* malformed = std::get_if<Malformed>(&a))
        return malformed->reason == std::get<Malformed>(b).reason;
    const auto &x = std::get<ProxyHeader>(a), &y = std::get<ProxyHeader>(b);
    return x.size == y.size && x.source == y.source && x.destination == y.destination;
}

}  // namespace

// What was found early is what all bytes give.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const Bytes bytes(data, size);
    const ProxyHeaderOutcome whole = proxyd::parse_proxy_header(bytes);
    check(whole, bytes);
    for (size_t seen = 0; seen < std::min<size_t>(size, 128); seen++) {
        const ProxyHeaderOutcome part = proxyd::parse_proxy_header(bytes.first(seen));
        check(part, bytes.first(seen));
        if (!std::holds_alternative<NeedMore>(part)) {
            assert(is_same(part, whole));
            return 0;
        }
    }
    return 0;
}
