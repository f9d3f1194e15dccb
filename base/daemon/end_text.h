// SPDX-License-Identifier: MIT
//
// How a child process has ended, in words for a log line. Used by those who have children.
#pragma once

#include <string>

namespace proxyd {

// Of waitpid(2)'s status: "was ended by SIGKILL" or "ended with exit code 1".
std::string end_text(int status);

}  // namespace proxyd
