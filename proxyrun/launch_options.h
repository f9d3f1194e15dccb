// SPDX-License-Identifier: MIT
//
// LaunchOptions: proxyrun's command line as a plain value. Used by its main().
#pragma once

#include "base/posix/result.h"

#include <string>
#include <vector>

namespace proxyd {

struct LaunchOptions {
    enum class Action { Run, Check, Help, Version } action = Action::Run;
    std::string site;                // DIR or NAME, as given; Check can do without
    std::vector<std::string> ports;  // EDGE[=SERVER], valid
    bool keeps = false;
    bool takes_over = false;
    bool traces = false;
    std::string control;  // of proxyd, a path
    std::vector<std::string> command;

    // The error is one line for the user, without the program's name.
    static Result<LaunchOptions, std::string> parse(int count, char** arguments);
};

std::string proxyrun_help();

}  // namespace proxyd
