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

// getopt_long(3) takes each beginning of a name that fits one option only: what a script relies on
// would change its meaning with the next option.
bool is_written_out(std::string_view word, std::string_view name) {
    word.remove_prefix(2);
    return word.substr(0, word.find('=')) == name;
}

std::string unknown_option(const Command& command, std::string_view word) {
    return fmt::format("unknown option '{}', see {} --help", word, command.name);
}

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
        const int found = getopt_long(argc, argv, "+:h", table.data(), nullptr);
        if (found == -1) break;
        if (found == 'h') {
            line.options.push_back({"help", ""});
            continue;
        }
        // optopt is set for an option that is known, but takes no argument, or lacks one.
        const int value = found == '?' || found == ':' ? optopt : found;
        if (value < FirstValue) return Unexpected{unknown_option(command, argv[at])};
        const Option& option = command.options[static_cast<size_t>(value - FirstValue)];
        if (!is_written_out(argv[at], option.name))
            return Unexpected{unknown_option(command, argv[at])};
        if (value != found)
            return Unexpected{fmt::format("option '{}' {} argument, see {} --help", argv[at],
                                          found == '?' ? "takes no" : "needs an", command.name)};
        line.options.push_back({option.name, optarg != nullptr ? optarg : ""});
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
