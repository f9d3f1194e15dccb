// SPDX-License-Identifier: MIT
#include "libpreload/epoll_registrations.h"

#include "base/posix/unique_fd.h"
#include "libpreload/process_descriptors.h"
#include "libpreload/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <charconv>
#include <optional>
#include <string_view>

namespace proxyd {
namespace {

// The number behind `label` in `line`, spaces between them.
template <typename Number>
std::optional<Number> number_after(std::string_view line, std::string_view label, int base) {
    const size_t start = line.find(label);
    if (start == line.npos) return std::nullopt;
    line.remove_prefix(start + label.size());
    while (line.starts_with(' '))
        line.remove_prefix(1);
    Number number{};
    const auto result = std::from_chars(line.data(), line.data() + line.size(), number, base);
    if (result.ec != std::errc()) return std::nullopt;
    return number;
}

// "tfd:       12 events: 80000019 data:     55d0c0ffee00  pos:0 ..." (proc(5), fdinfo)
std::optional<epoll_event> registration_in(std::string_view line, int fd) {
    const auto target = number_after<int>(line, "tfd:", 10);
    const auto events = number_after<uint32_t>(line, "events:", 16);
    const auto data = number_after<uint64_t>(line, "data:", 16);
    if (!target || *target != fd || !events || !data) return std::nullopt;
    epoll_event event{};
    event.events = *events;
    event.data.u64 = *data;
    return event;
}

}  // namespace

void EpollRegistrations::read_instance(int epoll_fd, int fd) {
    char path[40];
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", epoll_fd);
    const UniqueFd file = UniqueFd::adopt(open(path, O_RDONLY | O_CLOEXEC));
    char buffer[4096];
    size_t filled = 0;
    while (file.is_open() && count_ < CountMax) {
        const ssize_t size = read(file.borrow().number(), buffer + filled, sizeof(buffer) - filled);
        if (size <= 0) return;
        std::string_view text(buffer, filled + static_cast<size_t>(size));
        for (size_t end = text.find('\n'); end != text.npos; end = text.find('\n')) {
            const auto event = registration_in({text.data(), end}, fd);
            if (event && count_ < CountMax) registrations_[count_++] = {epoll_fd, *event};
            text.remove_prefix(end + 1);
        }
        filled = text.size();
        if (filled == sizeof(buffer)) return;
        memmove(buffer, text.data(), filled);
    }
}

EpollRegistrations EpollRegistrations::of(int fd) {
    EpollRegistrations found;
    for_each_descriptor(getpid(), [&](int number, std::string_view link) {
        if (link == "anon_inode:[eventpoll]") found.read_instance(number, fd);
    });
    return found;
}

void EpollRegistrations::restore(int fd) {
    for (size_t i = 0; i < count_; i++) {
        Registration& registration = registrations_[i];
        if (epoll_ctl(registration.epoll_fd, EPOLL_CTL_ADD, fd, &registration.event) == 0)
            trace("fd %d: registered with epoll fd %d again", fd, registration.epoll_fd);
    }
}

}  // namespace proxyd
