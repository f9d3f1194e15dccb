// SPDX-License-Identifier: MIT
//
// Fuzz target: parse_client_hello().
#include "tests/fuzz/hello_invariants.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    proxyd::test::check_hello_parser(proxyd::parse_client_hello, {data, size});
    return 0;
}
