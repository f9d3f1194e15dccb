// SPDX-License-Identifier: MIT
#include "tcpshim/pipe_pool.h"

#include "tests/support/fd_census.h"
#include "tests/unit/catch.h"

#include <fcntl.h>

using namespace proxyd;
using namespace proxyd::shim;
using proxyd::test::open_fds;

TEST_CASE("pipe_pool: a pipe that came back is lent again", "[pipe_pool]") {
    PipePool pool(2, 2, 65536);
    REQUIRE(pool.reserve_one() == 65536);
    Pipe pipe = pool.take();
    const ino_t inode = test::inode_of(pipe.read_end);
    pool.give_back(std::move(pipe));
    REQUIRE(pool.reserve_one() == 65536);
    Pipe again = pool.take();
    CHECK(test::inode_of(again.read_end) == inode);
    CHECK(test::is_close_on_exec(again.write_end));
    CHECK_FALSE(test::is_blocking(again.write_end));
    pool.give_back(std::move(again));
    CHECK(pool.open_count() == 1);
}

TEST_CASE("pipe_pool: no more than its limit", "[pipe_pool]") {
    PipePool pool(2, 2, 65536);
    REQUIRE(pool.reserve_one() > 0);
    Pipe first = pool.take();
    REQUIRE(pool.reserve_one() > 0);
    Pipe second = pool.take();
    CHECK(pool.reserve_one() == 0);
    pool.discard(std::move(first));
    CHECK(pool.reserve_one() > 0);
    pool.give_back(std::move(second));
    CHECK(pool.open_count() == 2);
}

TEST_CASE("pipe_pool: idle pipes beyond the limit are closed", "[pipe_pool]") {
    const auto before = open_fds();
    {
        PipePool pool(3, 1, 65536);
        REQUIRE(pool.reserve_one() > 0);
        Pipe first = pool.take();
        REQUIRE(pool.reserve_one() > 0);
        Pipe second = pool.take();
        pool.give_back(std::move(first));
        pool.give_back(std::move(second));
        CHECK(open_fds().size() == before.size() + 2);
        pool.trim(0);
        CHECK(open_fds() == before);
        CHECK(pool.open_count() == 0);
    }
    CHECK(open_fds() == before);
}
