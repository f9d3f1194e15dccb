// SPDX-License-Identifier: MIT
//
// program_check: whether LD_PRELOAD will reach a program, and if not, why, in one sentence. Used by
// proxyrun before it starts one, and by proxyrun --check. It looks at files only, and starts
// nothing.
#pragma once

#include <optional>
#include <string>

namespace proxyd {

struct ProgramVerdict {
    enum class Kind {
        Works,
        CannotWork,
        NotFound,       // a shell would exit with 127
        NotExecutable,  // a shell would exit with 126
    };
    Kind kind;
    std::string text;  // a sentence for the user
    std::string note;  // what it can't do; may be ""
};

// The file that `program` means: itself if it holds a slash, else the first in PATH. Nothing if
// there is none.
std::optional<std::string> find_program(const std::string& program);

// `path` as find_program gave it. Of a script, the interpreter is judged; what a program starts in
// its turn is not looked at, but for those that are known to take the environment away (sudo...).
ProgramVerdict check_program(const std::string& path);

}  // namespace proxyd
