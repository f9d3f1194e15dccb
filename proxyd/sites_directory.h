// SPDX-License-Identifier: MIT
//
// SitesDirectory: the subdirectories of `sites`, each of which is a route by being there. It is
// read once and then follows inotify's events, so that a client's name never costs a system call,
// let alone reaches the file system. Only directories count, not links to them.
#pragma once

#include "base/daemon/directory_watch.h"
#include "base/daemon/event_loop.h"
#include "base/posix/result.h"
#include "base/posix/unique_fd.h"

#include <string>
#include <string_view>
#include <unordered_set>

namespace proxyd {

class SitesDirectory {
  public:
    SitesDirectory(EventLoop& loop, DirectoryWatch& watch, std::string path);

    // Reads the directory. Fails if it can't be opened or watched. If it goes away later, there are
    // no sites until it comes back.
    Result<void> open();
    // There are no sites until it can be opened.
    void retry_until_open();

    // Looks, now and then, whether the path still leads to the same directory: no event tells that
    // a link was turned or a parent moved.
    void follow_path();
    // Takes in the events that nobody has read yet; before a name is said not to be there.
    void catch_up() { watch_.read_now(); }

    const std::string& path() const { return path_; }
    // Whether there is a site of that name: a name in its plain form, or "*." before one.
    bool has(std::string_view directory) const { return names_.contains(directory); }
    template <typename Each>
    void for_each(Each each) const {
        for (const std::string& name : names_)
            each(name);
    }

  private:
    struct Hash {
        using is_transparent = void;
        size_t operator()(std::string_view text) const {
            return std::hash<std::string_view>{}(text);
        }
    };

    void on_change(std::string_view name);
    void on_retry() noexcept;
    void read_all();

    bool was_replaced() const;

    DirectoryWatch& watch_;
    std::string path_;
    UniqueFd directory_;
    Clock::time_point looked_at_path_{};
    std::unordered_set<std::string, Hash, std::equal_to<>> names_;
    DirectoryWatch::Subscription subscription_;
    TimerWatcher<&SitesDirectory::on_retry> retry_;  // while the directory is gone
};

}  // namespace proxyd
