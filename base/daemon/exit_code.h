// SPDX-License-Identifier: MIT
//
// The exit codes of the daemons and of what controls them.
#pragma once

namespace proxyd {

enum ExitCode {
    Fine = 0,
    SystemRefused = 1,
    WrongUse = 2,  // of the command line, or a wrong configuration
};

}  // namespace proxyd
