// SPDX-License-Identifier: MIT
#include "base/daemon/line_buffer.h"

#include "tests/unit/catch.h"

#include <string>

using proxyd::LineBuffer;

TEST_CASE("gives out whole lines, however they come", "[line_buffer]") {
    LineBuffer buffer(10);
    buffer.append("on");
    CHECK_FALSE(buffer.next().has_value());
    buffer.append("e\ntwo\r\n\nthr");

    CHECK(*buffer.next() == "one");
    CHECK(*buffer.next() == "two");
    CHECK(*buffer.next() == "");
    CHECK_FALSE(buffer.next().has_value());
    CHECK_FALSE(buffer.is_empty());
    buffer.append("ee\n");
    CHECK(*buffer.next() == "three");
    CHECK(buffer.is_empty());
}

TEST_CASE("a line may have as many bytes as the limit says", "[line_buffer]") {
    LineBuffer buffer(10);
    buffer.append("0123456789\n0123456789");

    CHECK(*buffer.next() == "0123456789");
    CHECK_FALSE(buffer.next().has_value());
    CHECK_FALSE(buffer.is_too_long());
    buffer.append("\n");
    CHECK(*buffer.next() == "0123456789");
}

TEST_CASE("one byte more is too long, with and without its end", "[line_buffer]") {
    LineBuffer with_end(10), without_end(10);
    with_end.append("0123456789+\nnext\n");
    without_end.append("0123456789+");

    CHECK_FALSE(with_end.next().has_value());
    CHECK(with_end.is_too_long());
    CHECK_FALSE(without_end.next().has_value());
    CHECK(without_end.is_too_long());
}
