// SPDX-License-Identifier: MIT
#include "base/daemon/options.h"

#include "tests/unit/catch.h"

#include <array>

using proxyd::Command;
using proxyd::help_text;
using proxyd::Option;
using proxyd::parse_command_line;

namespace {

constexpr std::array<Option, 2> Table = {{
    {"config", "FILE", "the file"},
    {"check", "", "only look"},
}};
constexpr Command Example = {"example", "[--config FILE] [--check]", "Shows options.", Table};

auto parse(std::vector<std::string> words) {
    std::vector<char*> arguments;
    for (std::string& word : words)
        arguments.push_back(word.data());
    arguments.push_back(nullptr);
    return parse_command_line(Example, static_cast<int>(words.size()), arguments.data());
}

}  // namespace

TEST_CASE("options: with and without arguments, and what follows them", "[options]") {
    const auto line =
        parse({"example", "--config", "a", "--check", "--config=b", "--", "x", "--y"});

    REQUIRE(line.has_value());
    CHECK(line->has("check"));
    CHECK(line->last("config", "none") == "b");
    CHECK(line->positional == std::vector<std::string>{"x", "--y"});
}

TEST_CASE("options: what is not given has its default", "[options]") {
    const auto line = parse({"example"});

    REQUIRE(line.has_value());
    CHECK_FALSE(line->has("check"));
    CHECK(line->last("config", "none") == "none");
}

TEST_CASE("options: the first word that is no option ends them", "[options]") {
    const auto line = parse({"example", "command", "--check"});

    REQUIRE(line.has_value());
    CHECK_FALSE(line->has("check"));
    CHECK(line->positional == std::vector<std::string>{"command", "--check"});
}

TEST_CASE("options: an error is one line that names the word", "[options]") {
    CHECK(parse({"example", "--colour"}).error() ==
          "unknown option '--colour', see example --help");
    CHECK(parse({"example", "-x"}).error() == "unknown option '-x', see example --help");
    CHECK(parse({"example", "--check", "--config"}).error() ==
          "option '--config' needs an argument, see example --help");
    CHECK(parse({"example", "--check=yes"}).error() ==
          "option '--check=yes' takes no argument, see example --help");
}

TEST_CASE("options: a name is written out, but for -h", "[options]") {
    CHECK(parse({"example", "--conf", "a"}).error() ==
          "unknown option '--conf', see example --help");
    CHECK(parse({"example", "--conf=a"}).error() ==
          "unknown option '--conf=a', see example --help");
    CHECK(parse({"example", "--c"}).error() == "unknown option '--c', see example --help");
    CHECK(parse({"example", "--conf"}).error() == "unknown option '--conf', see example --help");
    CHECK(parse({"example", "--chec=x"}).error() ==
          "unknown option '--chec=x', see example --help");
    const auto line = parse({"example", "-h", "--check"});
    REQUIRE(line.has_value());
    CHECK(line->has("help"));
    CHECK(line->has("check"));
}

TEST_CASE("options: the help is made from the table", "[options]") {
    CHECK(help_text(Example) ==
          "Usage: example [--config FILE] [--check]\n"
          "Shows options.\n"
          "\n"
          "  --config FILE  the file\n"
          "  --check        only look\n");
}
