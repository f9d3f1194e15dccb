// SPDX-License-Identifier: MIT
#include "proxyd/name_index.h"

#include "tests/unit/catch.h"

#include <string>

using proxyd::NameIndex;

TEST_CASE("name index: every name of many is found at its place, and no other one",
          "[name_index]") {
    std::vector<std::string> names;
    for (int number = 0; number < 10'000; number++)
        names.push_back("customer-" + std::to_string(number) + ".example.org");
    const auto name_at = [&](uint32_t at) -> std::string_view { return names[at]; };
    NameIndex index(names.size());
    size_t added = 0;
    for (uint32_t at = 0; at < names.size(); at++)
        if (!index.add(names[at], at, name_at)) added++;

    CHECK(added == names.size());
    size_t found = 0;
    for (uint32_t at = 0; at < names.size(); at++)
        if (index.find(names[at], name_at) == at) found++;
    CHECK(found == names.size());
    CHECK_FALSE(index.find("customer-10000.example.org", name_at).has_value());
    CHECK_FALSE(index.find("", name_at).has_value());
}

TEST_CASE("name index: the same name once more gives the place of the first one", "[name_index]") {
    const std::vector<std::string> names = {"a", "b", "a"};
    const auto name_at = [&](uint32_t at) -> std::string_view { return names[at]; };
    NameIndex index(names.size());

    CHECK_FALSE(index.add("a", 0, name_at).has_value());
    CHECK_FALSE(index.add("b", 1, name_at).has_value());
    CHECK(index.add("a", 2, name_at) == 0);
    CHECK(index.find("a", name_at) == 0);
}

TEST_CASE("name index: of no names at all, none is found", "[name_index]") {
    const NameIndex index(0);

    CHECK_FALSE(index.find("a", [](uint32_t) { return std::string_view(); }).has_value());
}
