// SPDX-License-Identifier: MIT
//
// DirectoryWatch tells when something appears in, leaves or replaces a watched directory, through
// one inotify(7) instance for all of them. Used by proxyd for site directories.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/posix/result.h"
#include "base/posix/unique_fd.h"

#include <functional>
#include <string_view>
#include <unordered_map>

namespace proxyd {

class DirectoryWatch {
  public:
    // Lives as long as the subscription lasts, and not longer than the DirectoryWatch.
    class Subscription {
      public:
        // `changed` is called with the name of the entry that changed, or "" when anything may have
        // (the directory itself went away, or events were lost). It may end this subscription or
        // any other, and start new ones.
        Subscription(DirectoryWatch& watch, std::function<void(std::string_view)> changed)
            : watch_(watch), changed_(std::move(changed)) {}
        ~Subscription() { stop(); }
        Subscription(const Subscription&) = delete;
        Subscription& operator=(const Subscription&) = delete;

        // Watches the directory behind `directory` from now on, instead of any other. Fails with
        // ENOSPC when the user's inotify watches are used up (max_user_watches, inotify(7)).
        Result<void> start(BorrowedFd directory);
        void stop();
        bool is_active() const { return descriptor_ >= 0; }

      private:
        friend class DirectoryWatch;
        DirectoryWatch& watch_;
        std::function<void(std::string_view)> changed_;
        int descriptor_ = -1;
    };

    explicit DirectoryWatch(EventLoop& loop);
    // False when the user's inotify instances are used up (max_user_instances, inotify(7)).
    bool is_open() const { return inotify_.is_open(); }
    // Calls whoever is concerned by the events that are there already, all of them, rather than in
    // the next rounds of the loop.
    void read_now();

  private:
    void on_readable() noexcept;
    bool read_some();
    void tell(int descriptor, uint32_t mask, std::string_view name);

    // Several subscriptions may watch one directory: the kernel gives them one descriptor.
    using Subscriptions = std::unordered_multimap<int, Subscription*>;
    Subscriptions::iterator find(int descriptor, const Subscription* subscription);

    UniqueFd inotify_;
    Subscriptions subscriptions_;
    ReadWatcher<&DirectoryWatch::on_readable> readable_;
};

}  // namespace proxyd
