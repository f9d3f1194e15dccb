// SPDX-License-Identifier: MIT
#include "proxyrun/advice.h"

#include "proxyrun/program_check.h"

#include <errno.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

namespace proxyd {

std::string shell_word(std::string_view word) {
    constexpr std::string_view Plain =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@%+,-";
    if (!word.empty() && word.find_first_not_of(Plain) == word.npos) return std::string(word);
    std::string quoted = "'";
    for (const char character : word) {
        if (character == '\'')
            quoted += "'\\''";
        else
            quoted += character;
    }
    return quoted + "'";
}

std::string typed_proxyrun() {
    return shell_word(program_invocation_name);
}

std::string typed_proxyctl() {
    const std::string typed = program_invocation_name;
    const size_t slash = typed.rfind('/');
    const std::string sibling =
        slash == typed.npos ? "proxyctl" : typed.substr(0, slash + 1) + "proxyctl";
    const auto found = find_program(sibling);
    return found && access(found->c_str(), X_OK) == 0 ? shell_word(sibling) : "";
}

std::string_view as_root() {
    return geteuid() == 0 ? "" : "as root: ";
}

std::string port_advice(const std::set<uint16_t>& edges, uint16_t server) {
    if (edges.contains(443) && edges.contains(80))
        return fmt::format("--port 443={0} if it speaks TLS, else --port 80={0}", server);
    return fmt::format("--port {}={}", edges.contains(443) ? 443 : *edges.begin(), server);
}

std::string name_of_user(unsigned user) {
    const passwd* const entry = getpwuid(user);
    return entry != nullptr ? entry->pw_name : std::to_string(user);
}

std::string name_of_group(unsigned group_number) {
    const group* const entry = getgrgid(group_number);
    return entry != nullptr ? entry->gr_name : std::to_string(group_number);
}

}  // namespace proxyd
