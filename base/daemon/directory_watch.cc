// SPDX-License-Identifier: MIT
#include "base/daemon/directory_watch.h"

#include <fmt/format.h>
#include <limits.h>
#include <sys/inotify.h>

#include <algorithm>
#include <vector>

namespace proxyd {
namespace {

constexpr uint32_t WatchedEvents = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB |
                                   IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
constexpr int BeforeListeners = 1;  // a client that came after a change must meet the change

}  // namespace

DirectoryWatch::DirectoryWatch(EventLoop& loop)
    : inotify_(UniqueFd::adopt(inotify_init1(IN_NONBLOCK | IN_CLOEXEC))), readable_(loop, *this) {
    if (inotify_.is_open()) readable_.start(inotify_, BeforeListeners);
}

Result<void> DirectoryWatch::Subscription::start(BorrowedFd directory) {
    const std::string path = fmt::format("/proc/self/fd/{}", directory.number());
    const int descriptor =
        inotify_add_watch(watch_.inotify_.borrow().number(), path.c_str(), WatchedEvents);
    if (descriptor < 0) return Unexpected{Errno::last()};
    if (descriptor == descriptor_) return {};
    stop();
    descriptor_ = descriptor;
    watch_.subscriptions_.emplace(descriptor, this);
    return {};
}

void DirectoryWatch::Subscription::stop() {
    if (descriptor_ < 0) return;
    if (const auto entry = watch_.find(descriptor_, this); entry != watch_.subscriptions_.end())
        watch_.subscriptions_.erase(entry);
    if (!watch_.subscriptions_.contains(descriptor_))
        inotify_rm_watch(watch_.inotify_.borrow().number(), descriptor_);
    descriptor_ = -1;
}

void DirectoryWatch::read_now() {
    while (read_some()) {
    }
}

void DirectoryWatch::on_readable() noexcept {
    read_some();
}

// False if there was none.
bool DirectoryWatch::read_some() {
    alignas(inotify_event) char buffer[16 * (sizeof(inotify_event) + NAME_MAX + 1)];
    const ssize_t size = read(inotify_.borrow().number(), buffer, sizeof(buffer));
    for (ssize_t at = 0; at < size;) {
        const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
        const std::string_view name = event->len > 0 ? std::string_view(event->name) : "";
        tell(event->wd, event->mask, name);
        at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
    }
    return size > 0;
}

void DirectoryWatch::tell(int descriptor, uint32_t mask, std::string_view name) {
    // A callback may start and end subscriptions, so nobody is called from inside the map.
    std::vector<std::pair<int, Subscription*>> concerned;
    if ((mask & IN_Q_OVERFLOW) != 0) {
        concerned.assign(subscriptions_.begin(), subscriptions_.end());
    } else {
        const auto [first, last] = subscriptions_.equal_range(descriptor);
        concerned.assign(first, last);
    }
    for (const auto& [watched, subscription] : concerned) {
        const auto entry = find(watched, subscription);
        if (entry == subscriptions_.end()) continue;
        if ((mask & IN_IGNORED) != 0) {
            // The kernel has dropped the watch, with the directory; the descriptor is void.
            subscription->descriptor_ = -1;
            subscriptions_.erase(entry);
        }
        subscription->changed_(name);
    }
}

DirectoryWatch::Subscriptions::iterator DirectoryWatch::find(int descriptor,
                                                             const Subscription* subscription) {
    const auto [first, last] = subscriptions_.equal_range(descriptor);
    const auto entry = std::find_if(
        first, last, [subscription](const auto& each) { return each.second == subscription; });
    return entry == last ? subscriptions_.end() : entry;
}

}  // namespace proxyd
