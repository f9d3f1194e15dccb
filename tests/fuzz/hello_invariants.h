// SPDX-License-Identifier: MIT
//
// What must hold for a hello parser whatever the bytes are. Used by the fuzzers; a breach aborts.
#pragma once

#include "proxyd/hello.h"

namespace proxyd::test {

using HelloParser = HelloOutcome (*)(Bytes);

// One outcome by itself.
void check_hello_outcome(const HelloOutcome& outcome, size_t bytes_seen);

void check_hello_parser(HelloParser parse, Bytes bytes);

}  // namespace proxyd::test
