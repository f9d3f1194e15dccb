// SPDX-License-Identifier: MIT
//
// proxyctl: asks and commands a running proxyd over its control socket, and makes site directories.
#include "proxyctl/invocation.h"

#include <fmt/format.h>
#include <signal.h>

#include <string>
#include <vector>

namespace proxyd {
namespace {

int run(const std::vector<std::string>& words) {
    const auto parsed = parse_proxyctl(words);
    if (!parsed) return complain(WrongUse, parsed.error());
    const CommandLine& line = parsed->invocation.line;
    if (parsed->subcommand == nullptr) {
        fmt::print("{}", line.has("help") ? overview() : "proxyctl " PROXYD_VERSION "\n");
        return Fine;
    }
    if (line.has("help")) {
        fmt::print("{}", help_text(parsed->subcommand->command));
        return Fine;
    }
    const int code = parsed->subcommand->run(parsed->invocation);
    // What could not be written was not shown.
    if (fflush(stdout) != 0 && code == Fine) return SystemRefused;
    return code;
}

}  // namespace
}  // namespace proxyd

int main(int argc, char** argv) {
    // Whose reader has gone, such as "| head", ends without a word.
    signal(SIGPIPE, SIG_DFL);
    return proxyd::run({argv + (argc > 0 ? 1 : 0), argv + argc});
}
