// SPDX-License-Identifier: MIT
#include "proxyrun/program_notes.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <filesystem>
#include <string_view>

namespace proxyd {
namespace {

struct Note {
    std::string_view program;
    std::string_view text;
};

// What each of them does to the environment was seen with strace(1): nginx 1.22, Dovecot 2.3,
// Postfix 3.7.
constexpr std::array<Note, 4> Notes = {{
    {"nginx",
     "nginx clears the environment at a binary upgrade (SIGUSR2): for that, put \"env LD_PRELOAD; "
     "env PROXYD_SITE; env PROXYD_PORTS;\" into nginx.conf"},
    {"dovecot",
     "dovecot clears the environment of its services: put \"import_environment = "
     "$import_environment LD_PRELOAD PROXYD_SITE PROXYD_PORTS\" into dovecot.conf"},
    {"postfix",
     "postfix clears the environment of its services: add LD_PRELOAD, PROXYD_SITE and PROXYD_PORTS "
     "to import_environment in main.cf"},
    {"master",
     "postfix clears the environment of its services: add LD_PRELOAD, PROXYD_SITE and PROXYD_PORTS "
     "to import_environment in main.cf"},
}};

// "php8.2" was built before modules stopped being loaded with RTLD_DEEPBIND, in 8.5. A name without
// a version says nothing.
bool is_php_before_8_5(std::string_view name) {
    if (!name.starts_with("php")) return false;
    name.remove_prefix(3);
    unsigned major = 0;
    unsigned minor = 0;
    const char* const end = name.data() + name.size();
    const auto [dot, error] = std::from_chars(name.data(), end, major);
    if (error != std::errc() || dot == end || *dot != '.') return false;
    if (std::from_chars(dot + 1, end, minor).ec != std::errc()) return false;
    return major < 8 || (major == 8 && minor < 5);
}

}  // namespace

std::string program_note(const std::string& path) {
    std::error_code error;
    const std::filesystem::path canonical = std::filesystem::canonical(path, error);
    const std::string name = (error ? std::filesystem::path(path) : canonical).filename().string();
    if (is_php_before_8_5(name))
        return "PHP before 8.5 hides its sockets extension from preloaded libraries: \"php -S\" "
               "and "
               "stream_socket_server() take clients from proxyd, socket_create() does not";
    for (const Note& note : Notes) {
        if (note.program == name) return std::string(note.text);
    }
    return "";
}

}  // namespace proxyd
