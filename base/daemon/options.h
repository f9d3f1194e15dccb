// SPDX-License-Identifier: MIT
//
// Command lines: one table of options makes the parser (getopt_long(3)) and the text of --help.
// Options are written out, but for -h.
// Used by all programs of the project.
#pragma once

#include "base/posix/result.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace proxyd {

struct Option {
    std::string_view name;      // without the dashes
    std::string_view argument;  // what to call its argument in the help; "" if it takes none
    std::string_view help;
};

struct Command {
    std::string_view name;      // of the program
    std::string_view synopsis;  // behind the name, e.g. "[--config FILE]"
    std::string_view summary;   // one sentence
    std::span<const Option> options;
};

struct GivenOption {
    std::string_view name;  // points into the table
    std::string argument;
};

struct CommandLine {
    std::vector<GivenOption> options;     // in their order
    std::vector<std::string> positional;  // all that follows the first word that is no option

    bool has(std::string_view name) const;
    // The argument of the last one of that name, or `otherwise`.
    std::string_view last(std::string_view name, std::string_view otherwise) const;
};

// The error is one line, without the program's name.
Result<CommandLine, std::string> parse_command_line(const Command& command, int argc, char** argv);

std::string help_text(const Command& command);

}  // namespace proxyd
