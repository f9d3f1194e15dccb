// SPDX-License-Identifier: MIT
//
// Invocation: a command line of proxyctl, read; and the table of its commands, which makes the
// parser, the help, and is what completions and man page are checked against.
#pragma once

#include "base/daemon/options.h"
#include "base/posix/result.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace proxyd {

inline constexpr std::string_view DefaultControlSocket = "/run/proxyd/control.sock";
inline constexpr std::string_view DefaultSitesDirectory = "/run/proxyd/sites";

enum ExitCode { Fine = 0, SystemRefused = 1, WrongUse = 2 };

struct Invocation {
    CommandLine line;  // options and words behind the command

    std::string control() const { return std::string(line.last("control", DefaultControlSocket)); }
    bool is_json() const { return line.has("json"); }
    // The first word behind the command, or "".
    std::string_view word() const {
        return line.positional.empty() ? std::string_view() : line.positional[0];
    }
};

struct Subcommand {
    std::string_view word;   // "status", "site add"
    std::string_view brief;  // for the overview
    Command command;         // named "proxyctl status"
    size_t words_min;
    size_t words_max;
    int (*run)(const Invocation&);
};

std::span<const Subcommand> subcommands();
std::string overview();  // the help of proxyctl itself

// Reads what stands behind "proxyctl": options may stand before and behind the command and its
// words.
struct Parsed {
    const Subcommand* subcommand = nullptr;  // none: help or version of proxyctl itself
    Invocation invocation;
};
Result<Parsed, std::string> parse_proxyctl(const std::vector<std::string>& words);

// Writes "proxyctl: ..." to standard error.
int complain(ExitCode code, std::string_view text);

}  // namespace proxyd
