// SPDX-License-Identifier: MIT
//
// CommandLine: proxyrun's options as a plain value. Used by its main().
#pragma once

#include "base/posix/result.h"

#include <string>
#include <vector>

namespace proxyd {

struct CommandLine {
    enum class Action { Run, Check, Help, Version } action = Action::Run;
    std::string site;                // DIR or NAME, as given
    std::vector<std::string> ports;  // EDGE[=SERVER], valid
    bool takes_over = false;
    bool traces = false;
    std::vector<char*> command;  // ends with a null pointer; of --check, the program alone

    // The error is one line for the user, without the program's name.
    static Result<CommandLine, std::string> parse(int count, char** arguments);
};

extern const char* const HelpText;

}  // namespace proxyd
