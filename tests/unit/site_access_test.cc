// SPDX-License-Identifier: MIT
#include "base/daemon/site_access.h"

#include "tests/unit/catch.h"

#include <array>

using namespace proxyd;

namespace {

constexpr std::array<gid_t, 2> Groups = {50, 60};

// Of the user 10, whose groups are 40, 50 and 60.
SiteAccess access_to(uid_t owner, gid_t group, mode_t mode) {
    struct stat directory {};
    directory.st_uid = owner;
    directory.st_gid = group;
    directory.st_mode = S_IFDIR | mode;
    return site_access(directory, {10, 40, Groups});
}

}  // namespace

TEST_CASE("site_access: a directory of one of the user's groups", "[site_access]") {
    CHECK(access_to(1, 40, 02750) == SiteAccess::Fine);
    CHECK(access_to(1, 60, 02750) == SiteAccess::Fine);
    CHECK(access_to(1, 60, 02710) == SiteAccess::ClosedByMode);
    CHECK(access_to(1, 60, 02740) == SiteAccess::ClosedByMode);
    CHECK(access_to(1, 60, 02705) == SiteAccess::ClosedByMode);
}

TEST_CASE("site_access: a directory of another group", "[site_access]") {
    CHECK(access_to(1, 70, 02750) == SiteAccess::ForeignGroup);
    CHECK(access_to(1, 70, 02700) == SiteAccess::ClosedByMode);
    CHECK(access_to(1, 70, 02755) == SiteAccess::ForeignGroup);
    CHECK(access_to(1, 70, 0755) == SiteAccess::ForeignGroup);
    CHECK(access_to(1, 70, 0777) == SiteAccess::Fine);
}

TEST_CASE("site_access: a directory of the user's own", "[site_access]") {
    CHECK(access_to(10, 40, 0700) == SiteAccess::Fine);
    CHECK(access_to(10, 40, 0077) == SiteAccess::ClosedByMode);
    CHECK(access_to(10, 70, 0755) == SiteAccess::Fine);
    CHECK(access_to(10, 70, 02755) == SiteAccess::ForeignGroup);
}
