// SPDX-License-Identifier: MIT
#include "base/posix/byte_reader.h"

#include "tests/unit/catch.h"

#include <algorithm>
#include <array>

namespace proxyd {
namespace {

constexpr std::array<uint8_t, 6> Input = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06};

TEST_CASE("reads integers big-endian, one behind the other", "[byte_reader]") {
    ByteReader reader{Bytes(Input)};
    CHECK(*reader.u8() == 0x01);
    CHECK(*reader.u16() == 0x0203);
    CHECK(*reader.u24() == 0x040506);
    CHECK(reader.at_end());
    CHECK_FALSE(reader.u8());
}

TEST_CASE("what is too short is left as it is", "[byte_reader]") {
    ByteReader reader{Bytes(Input).first(2)};
    CHECK_FALSE(reader.u24());
    CHECK_FALSE(reader.take(3));
    CHECK(reader.rest().size() == 2);
    CHECK(*reader.u16() == 0x0102);
    CHECK_FALSE(reader.u16());
    CHECK_FALSE(reader.u8());
}

TEST_CASE("takes as much as there is, and no byte more", "[byte_reader]") {
    ByteReader reader{Bytes(Input)};
    CHECK_FALSE(reader.take(7));
    CHECK_FALSE(reader.take(SIZE_MAX));
    CHECK(reader.take(6)->data() == Input.data());
    CHECK(reader.take(0)->empty());
}

TEST_CASE("a block is a view of what stands behind its length", "[byte_reader]") {
    constexpr std::array<uint8_t, 7> blocks = {2, 0xaa, 0xbb, 0, 1, 0xcc, 9};
    ByteReader reader{Bytes(blocks)};
    const auto first = reader.block_u8();
    REQUIRE(first);
    CHECK(first->data() == &blocks[1]);
    CHECK(first->size() == 2);
    const auto second = reader.block_u16();
    REQUIRE(second);
    CHECK(second->data() == &blocks[5]);
    CHECK(second->size() == 1);
    CHECK(reader.rest().size() == 1);
}

TEST_CASE("a block that is cut short takes nothing, not even its length", "[byte_reader]") {
    constexpr std::array<uint8_t, 3> cut = {0, 2, 0xaa};
    ByteReader reader{Bytes(cut)};
    CHECK_FALSE(reader.block_u16());
    CHECK(reader.rest().size() == 3);
    ByteReader length_only{Bytes(cut).first(1)};
    CHECK_FALSE(length_only.block_u16());
    CHECK(length_only.rest().size() == 1);
    ByteReader empty{Bytes()};
    CHECK_FALSE(empty.block_u8());
}

TEST_CASE("an empty block is a block", "[byte_reader]") {
    constexpr std::array<uint8_t, 3> zeros = {0, 0, 0};
    ByteReader reader{Bytes(zeros)};
    CHECK(reader.block_u8()->empty());
    CHECK(reader.block_u16()->empty());
    CHECK(reader.at_end());
}

static_assert(*ByteReader(Bytes(Input)).u24() == 0x010203, "usable in constant expressions");

}  // namespace
}  // namespace proxyd
