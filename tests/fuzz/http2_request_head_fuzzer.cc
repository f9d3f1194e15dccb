// SPDX-License-Identifier: MIT
//
// Fuzz target: parse_http2_request_head(), and the decoding of a field block alone, which inputs
// without a preface would never reach.
#include "proxyd/http2_header_list.h"
#include "tests/fuzz/hello_invariants.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    proxyd::test::check_hello_parser(proxyd::parse_http2_request_head, {data, size});
    proxyd::test::check_hello_outcome(proxyd::read_http2_header_list({data, size}), size);
    return 0;
}
