// SPDX-License-Identifier: MIT
#include "base/posix/unique_fd.h"

#include "tests/support/fd_census.h"
#include "tests/unit/catch.h"

#include <fcntl.h>

#include <type_traits>

namespace proxyd {
namespace {

UniqueFd open_null() {
    return UniqueFd::adopt(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

bool is_open_number(int fd) {
    return fcntl(fd, F_GETFD) != -1;
}

static_assert(!std::is_copy_constructible_v<UniqueFd> && !std::is_copy_assignable_v<UniqueFd>);
static_assert(!std::is_convertible_v<int, UniqueFd> && !std::is_convertible_v<UniqueFd, int>);
static_assert(!std::is_convertible_v<int, BorrowedFd> && !std::is_convertible_v<BorrowedFd, int>);
static_assert(std::is_nothrow_move_constructible_v<UniqueFd>);

TEST_CASE("closes what it owns, once", "[unique_fd]") {
    const auto before = test::open_fds();
    {
        const UniqueFd fd = open_null();
        CHECK(fd.is_open());
        CHECK(is_open_number(fd.borrow().number()));
    }
    CHECK(test::open_fds() == before);
}

TEST_CASE("a failed call's number is nothing to close", "[unique_fd]") {
    CHECK_FALSE(UniqueFd().is_open());
    CHECK_FALSE(UniqueFd::adopt(-1).is_open());
    CHECK_FALSE(UniqueFd::adopt(-100).is_open());
    CHECK(UniqueFd::adopt(-100).borrow().number() == -1);
}

TEST_CASE("moves ownership along", "[unique_fd]") {
    const auto before = test::open_fds();
    UniqueFd first = open_null();
    const int number = first.borrow().number();
    UniqueFd second = std::move(first);
    CHECK_FALSE(first.is_open());  // NOLINT(bugprone-use-after-move): this is what is tested
    CHECK(second.borrow().number() == number);
    second.close();
    CHECK(test::open_fds() == before);
}

TEST_CASE("what is assigned to closes what it had", "[unique_fd]") {
    UniqueFd target = open_null(), source = open_null();
    const int had = target.borrow().number(), gets = source.borrow().number();
    target = std::move(source);
    CHECK_FALSE(is_open_number(had));
    CHECK(target.borrow().number() == gets);
}

TEST_CASE("assigned to itself, it stays open", "[unique_fd]") {
    UniqueFd fd = open_null();
    UniqueFd& itself = fd;
    fd = std::move(itself);
    CHECK(fd.is_open());
    CHECK(is_open_number(fd.borrow().number()));
}

TEST_CASE("releasing gives up ownership without closing", "[unique_fd]") {
    UniqueFd fd = open_null();
    const int number = fd.release();
    CHECK_FALSE(fd.is_open());
    CHECK(is_open_number(number));
    CHECK(UniqueFd::adopt(number).is_open());
    CHECK_FALSE(is_open_number(number));
}

TEST_CASE("closing twice closes once", "[unique_fd]") {
    UniqueFd fd = open_null();
    const int number = fd.borrow().number();
    fd.close();
    const UniqueFd successor = UniqueFd::adopt(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, number));
    REQUIRE(successor.borrow().number() == number);
    fd.close();
    CHECK(is_open_number(number));
}

TEST_CASE("closing keeps errno, even when close(2) fails", "[unique_fd]") {
    UniqueFd fd = open_null();
    const UniqueFd closed_behind_its_back = UniqueFd::adopt(fd.borrow().number());
    errno = ENOTUNIQ;
    fd.close();
    CHECK(errno == ENOTUNIQ);
    UniqueFd again = UniqueFd::adopt(closed_behind_its_back.borrow().number());
    again.close();
    CHECK(errno == ENOTUNIQ);
}

TEST_CASE("borrowing leaves it open", "[unique_fd]") {
    const UniqueFd fd = open_null();
    const BorrowedFd borrowed = fd;
    CHECK(borrowed.number() == fd.borrow().number());
    CHECK(is_open_number(borrowed.number()));
}

}  // namespace
}  // namespace proxyd
