// SPDX-License-Identifier: MIT
//
// Fuzz target: parse_http_request_head(), and recognise_protocol() before it.
#include "tests/fuzz/hello_invariants.h"

#include <assert.h>

namespace {

// What was recognised stays so when more bytes come.
void check_recognition(proxyd::Bytes bytes) {
    const auto whole = proxyd::recognise_protocol(bytes);
    for (size_t size = 0; size < bytes.size() && size < 64; size++) {
        const auto part = proxyd::recognise_protocol(bytes.first(size));
        assert(!part || part == whole);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    check_recognition({data, size});
    proxyd::test::check_hello_parser(proxyd::parse_http_request_head, {data, size});
    return 0;
}
