// SPDX-License-Identifier: MIT
#include "base/daemon/closing_list.h"

#include "tests/support/fd_census.h"
#include "tests/unit/catch.h"

#include <fcntl.h>

#include <vector>

using namespace proxyd;

namespace {

UniqueFd open_something() {
    return UniqueFd::adopt(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

}  // namespace

TEST_CASE("closing list: closes what it was given, in rows or not, and nothing between",
          "[closing_list]") {
    const auto before = test::open_fds();
    {
        ClosingList list;
        std::vector<UniqueFd> kept;
        for (int i = 0; i < 10; i++) {
            UniqueFd fd = open_something();
            if (i == 3 || i == 7)
                kept.push_back(std::move(fd));
            else
                list.add(std::move(fd));
        }
        list.close_all();
        for (const UniqueFd& fd : kept)
            CHECK(fcntl(fd.borrow().number(), F_GETFD) >= 0);
        kept.clear();
        CHECK(test::open_fds() == before);
        list.close_all();
        CHECK(test::open_fds() == before);
    }
}

TEST_CASE("closing list: closes by itself when it is full, and at its end", "[closing_list]") {
    const auto before = test::open_fds();
    {
        ClosingList list;
        for (size_t i = 0; i < 3 * ClosingList::SocketsMax + 1; i++)
            list.add(open_something());
    }
    CHECK(test::open_fds() == before);
}
