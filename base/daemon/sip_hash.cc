// SPDX-License-Identifier: MIT
#include "base/daemon/sip_hash.h"

#include <bit>

namespace proxyd {
namespace {

class State {
  public:
    explicit State(SipHashKey key)
        : v0_(key.low ^ 0x736f6d6570736575),
          v1_(key.high ^ 0x646f72616e646f6d),
          v2_(key.low ^ 0x6c7967656e657261),
          v3_(key.high ^ 0x7465646279746573) {}

    void add(uint64_t word) {
        v3_ ^= word;
        rounds(2);
        v0_ ^= word;
    }

    uint64_t finish() {
        v2_ ^= 0xff;
        rounds(4);
        return v0_ ^ v1_ ^ v2_ ^ v3_;
    }

  private:
    void rounds(int count) {
        for (int i = 0; i < count; i++) {
            v0_ += v1_;
            v2_ += v3_;
            v1_ = std::rotl(v1_, 13) ^ v0_;
            v3_ = std::rotl(v3_, 16) ^ v2_;
            v0_ = std::rotl(v0_, 32);
            v2_ += v1_;
            v0_ += v3_;
            v1_ = std::rotl(v1_, 17) ^ v2_;
            v3_ = std::rotl(v3_, 21) ^ v0_;
            v2_ = std::rotl(v2_, 32);
        }
    }

    uint64_t v0_, v1_, v2_, v3_;
};

// Little-endian, of up to eight bytes.
uint64_t word_of(Bytes bytes) {
    uint64_t word = 0;
    for (size_t i = 0; i < bytes.size(); i++)
        word |= uint64_t{bytes[i]} << (8 * i);
    return word;
}

}  // namespace

uint64_t sip_hash(SipHashKey key, Bytes bytes) {
    State state(key);
    const uint64_t length = bytes.size();
    for (; bytes.size() >= 8; bytes = bytes.subspan(8))
        state.add(word_of(bytes.first(8)));
    state.add(word_of(bytes) | length << 56);
    return state.finish();
}

}  // namespace proxyd
