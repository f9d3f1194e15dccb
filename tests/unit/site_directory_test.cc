// SPDX-License-Identifier: MIT
#include "proxyctl/site_directory.h"

#include "proxyctl/text.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/catch.h"

#include <sys/stat.h>
#include <unistd.h>

using namespace proxyd;

TEST_CASE("site_directory: names", "[site_directory]") {
    CHECK(*site_directory_name("Blog.Example.ORG.") == "blog.example.org");
    CHECK(*site_directory_name("*.Example.org") == "*.example.org");
    CHECK(site_directory_name("../etc").error() ==
          "'../etc' is neither a DNS name nor a wildcard such as '*.example.org' "
          "(name_has_empty_label)");
    CHECK_FALSE(site_directory_name("").has_value());
    CHECK_FALSE(site_directory_name("*").has_value());
    CHECK_FALSE(site_directory_name("a/b").has_value());
}

TEST_CASE("site_directory: is made with mode 2750, once, and leaves nothing else",
          "[site_directory]") {
    test::TemporaryDirectory sites;
    const SiteDirectoryOwner owner = {geteuid(), getegid()};
    const mode_t before = umask(0777);
    const auto made = make_site_directory(sites.path(), "a.example", owner);
    umask(before);
    REQUIRE(made.has_value());
    struct stat status;
    REQUIRE(stat((sites.path() / "a.example").c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 02750);
    CHECK(make_site_directory(sites.path(), "a.example", owner).error() ==
          "cannot make " + sites.path().string() + "/a.example: File exists");

    const auto entries = list_site_directories(sites.path(), nullptr);
    REQUIRE(entries.has_value());
    REQUIRE(entries->size() == 1);
    CHECK((*entries)[0].name == "a.example");
    CHECK((*entries)[0].problems.empty());
}

TEST_CASE("site_directory: problems are told", "[site_directory]") {
    test::TemporaryDirectory sites;
    std::filesystem::create_directory(sites.path() / "Not A Name");
    chmod((sites.path() / "Not A Name").c_str(), 0777);
    CHECK((*list_site_directories(sites.path(), nullptr))[0].problems ==
          std::vector<std::string>{"is not a name that clients can ask for",
                                   "has no set-group-ID bit: sockets get the server's group",
                                   "is world-writable: everybody here can receive for the name"});
    CHECK(make_site_directory(sites.path() / "absent", "a", {0, 0}).error() ==
          sites.path().string() + "/absent: No such file or directory");
}

TEST_CASE("site_directory: directories that the workers are kept out of", "[site_directory]") {
    test::TemporaryDirectory sites;
    const std::filesystem::path site = sites.path() / "a.example";
    const gid_t foreign = 4000000001;
    const WorkersUser workers = {"web", 4000000002, foreign, {4000000003}};
    const auto problems = [&](mode_t mode) {
        REQUIRE(chmod(site.c_str(), mode) == 0);
        return (*list_site_directories(sites.path(), &workers))[0].problems;
    };
    std::filesystem::create_directory(site);
    const std::string group = group_name(getegid());
    const std::vector<std::string> not_in_group = {
        "the user of proxyd's workers (web) is not in group " + group};
    CHECK(problems(02750) == not_in_group);
    CHECK(problems(02755) == not_in_group);
    CHECK(problems(02700) ==
          std::vector<std::string>{"its mode keeps the user of proxyd's workers (web) out"});
    const std::string without_bit = "has no set-group-ID bit: sockets get the server's group";
    CHECK(problems(0755) == std::vector<std::string>{without_bit});
    CHECK(problems(0750) == std::vector<std::string>{without_bit, not_in_group[0]});
    const WorkersUser own = {"web", 4000000002, foreign, {getegid()}};
    REQUIRE(chmod(site.c_str(), 02750) == 0);
    CHECK((*list_site_directories(sites.path(), &own))[0].problems.empty());
}
