// SPDX-License-Identifier: MIT
#include "base/daemon/sip_hash.h"

#include "tests/unit/catch.h"

#include <array>

using proxyd::Bytes;
using proxyd::sip_hash;
using proxyd::SipHashKey;

namespace {

// Of the paper's appendix: the key's bytes are 00 to 0f, the input's 00, 01, 02...
constexpr SipHashKey PaperKey = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
constexpr std::array<uint8_t, 15> PaperInput = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};

}  // namespace

TEST_CASE("gives what its authors give", "[sip_hash]") {
    CHECK(sip_hash(PaperKey, PaperInput) == 0xa129ca6149be45e5);
    CHECK(sip_hash(PaperKey, Bytes()) == 0x726fdb47dd0e0e31);
    CHECK(sip_hash(PaperKey, Bytes(PaperInput).first(1)) == 0x74f839c593dc67fd);
    CHECK(sip_hash(PaperKey, Bytes(PaperInput).first(8)) == 0x93f5f5799a932462);
}

TEST_CASE("depends on every bit of the key", "[sip_hash]") {
    CHECK(sip_hash({1, 0}, PaperInput) != sip_hash({0, 0}, PaperInput));
    CHECK(sip_hash({0, uint64_t{1} << 63}, PaperInput) != sip_hash({0, 0}, PaperInput));
}
