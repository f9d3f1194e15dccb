// SPDX-License-Identifier: MIT
#include "base/daemon/options.h"

#include <fmt/format.h>
#include <getopt.h>

#include <algorithm>
#include <iterator>

namespace proxyd {
namespace {

constexpr int FirstValue =
    256;  // getopt's number of our first option: no character, not ':' or '?'

}  // namespace

bool CommandLine::has(std::string_view name) const {
    return std::any_of(options.begin(), options.end(),
                       [name](const GivenOption& given) { return given.name == name; });
}

std::string_view CommandLine::last(std::string_view name, std::string_view otherwise) const {
    for (auto given = options.rbegin(); given != options.rend(); ++given)
        if (given->name == name) return given->argument;
    return otherwise;
}

Result<CommandLine, std::string> parse_command_line(const Command& command, int argc, char** argv) {
    std::vector<std::string> names;
    for (const Option& option : command.options)
        names.emplace_back(option.name);
    std::vector<struct option> table;
    for (size_t i = 0; i < names.size(); i++) {
        const int has_argument =
            command.options[i].argument.empty() ? no_argument : required_argument;
        table.push_back(
            {names[i].c_str(), has_argument, nullptr, static_cast<int>(i) + FirstValue});
    }
    table.push_back({});

    CommandLine line;
    optind = 0;  // starts anew, in glibc's words "reinitialises" (getopt(3), NOTES)
    opterr = 0;
    for (;;) {
        const int at = std::max(optind, 1);
        const int found = getopt_long(argc, argv, "+:", table.data(), nullptr);
        if (found == -1) break;
        if (found == '?')  // optopt is set for an option that is known, but takes no argument
            return Unexpected{fmt::format(
                "{} '{}'{}, see {} --help", optopt >= FirstValue ? "option" : "unknown option",
                argv[at], optopt >= FirstValue ? " takes no argument" : "", command.name)};
        if (found == ':')
            return Unexpected{fmt::format("option '{}' needs an argument, see {} --help", argv[at],
                                          command.name)};
        line.options.push_back({command.options[static_cast<size_t>(found - FirstValue)].name,
                                optarg != nullptr ? optarg : ""});
    }
    for (int i = optind; i < argc; i++)
        line.positional.emplace_back(argv[i]);
    return line;
}

std::string help_text(const Command& command) {
    std::string text =
        fmt::format("Usage: {} {}\n{}\n\n", command.name, command.synopsis, command.summary);
    size_t width = 0;
    const auto left = [](const Option& option) {
        return option.argument.empty() ? fmt::format("--{}", option.name)
                                       : fmt::format("--{} {}", option.name, option.argument);
    };
    for (const Option& option : command.options)
        width = std::max(width, left(option).size());
    for (const Option& option : command.options)
        fmt::format_to(std::back_inserter(text), "  {:<{}}  {}\n", left(option), width,
                       option.help);
    return text;
}

}  // namespace proxyd
