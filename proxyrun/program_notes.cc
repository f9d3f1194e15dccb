// SPDX-License-Identifier: MIT
#include "proxyrun/program_notes.h"

#include <charconv>
#include <filesystem>
#include <string_view>

namespace proxyd {
namespace {

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
    return "";
}

}  // namespace proxyd
