// SPDX-License-Identifier: MIT
#include "libpreload/stand_in.h"

#include "base/handoff/site_socket.h"
#include "libpreload/guest_config.h"
#include "libpreload/real_calls.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#include <algorithm>
#include <string_view>

namespace proxyd {
namespace {

bool is_digit(char character) {
    return character >= '0' && character <= '9';
}

// What bind_site_socket uses where the site directory's path is too long for sun_path.
bool is_descriptor_prefix(std::string_view prefix) {
    constexpr std::string_view Start = "/proc/self/fd/";
    if (!prefix.starts_with(Start) || !prefix.ends_with('/')) return false;
    prefix.remove_prefix(Start.size());
    if (prefix.empty()) return false;
    prefix.remove_suffix(1);
    return !prefix.empty() && std::all_of(prefix.begin(), prefix.end(), is_digit);
}

std::optional<InstanceLabel> label_of(std::string_view path) {
    const size_t slash = path.rfind('/');
    if (slash == path.npos) return std::nullopt;
    const std::string_view prefix(path.data(), slash + 1);
    std::string_view file_name = path;
    file_name.remove_prefix(slash + 1);
    if (prefix != guest_config().site_prefix() && !is_descriptor_prefix(prefix))
        return std::nullopt;
    if (!file_name.starts_with('.')) return std::nullopt;
    file_name.remove_prefix(1);
    const auto name = SiteSocketName::parse(file_name);
    return name ? InstanceLabel::parse(name->instance) : std::nullopt;
}

}  // namespace

std::optional<StandIn> recognise_stand_in(int fd) {
    if (!guest_config().is_active) return std::nullopt;
    const int saved_errno = errno;
    sockaddr_un address{};
    socklen_t length = sizeof(address);
    const int outcome = real.getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
    errno = saved_errno;
    if (outcome != 0 || address.sun_family != AF_UNIX || length > sizeof(address))
        return std::nullopt;
    const auto label =
        label_of({address.sun_path, strnlen(address.sun_path, sizeof(address.sun_path))});
    if (!label) return std::nullopt;
    return StandIn{BorrowedFd(fd), *label};
}

}  // namespace proxyd
