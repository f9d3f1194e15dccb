// SPDX-License-Identifier: MIT
//
// SipHash-2-4 (Aumasson and Bernstein, 2012): a short hash under a secret key, so that nobody who
// doesn't know the key can choose inputs that fall together. Used where clients choose the input.
// It is no signature.
#pragma once

#include "base/posix/byte_reader.h"

#include <cstdint>

namespace proxyd {

struct SipHashKey {
    uint64_t low = 0;
    uint64_t high = 0;
};

uint64_t sip_hash(SipHashKey key, Bytes bytes);

}  // namespace proxyd
