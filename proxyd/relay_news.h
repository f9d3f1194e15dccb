// SPDX-License-Identifier: MIT
//
// RelayNews: what tcpshim says of itself to whoever has started it, as to a service manager
// (sd_notify(3)): that it is ready, that it reloads, and what is wrong. A datagram socket beside
// its configuration file, which the program after an upgrade puts there anew. Used by
// relay_process.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/posix/result.h"
#include "base/posix/unique_fd.h"

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace proxyd {

struct RelayMessage {
    bool is_ready = false;      // started, or through with a reload: also if in vain
    bool is_reloading = false;  // is_ready must follow
    std::vector<std::string> problems;
};

// All else in it is for others.
RelayMessage parse_relay_message(std::string_view text);

class RelayNews {
  public:
    class Owner {
      public:
        virtual void on_relay_message(pid_t sender, const RelayMessage& message) = 0;

      protected:
        ~Owner() = default;
    };

    RelayNews(EventLoop& loop, Owner& owner) : owner_(owner), readable_(loop, *this) {}
    ~RelayNews() { close(); }
    RelayNews(const RelayNews&) = delete;
    RelayNews& operator=(const RelayNews&) = delete;

    // At `path`, whatever was there before.
    Result<void> listen(const std::string& path);
    void close();                                      // takes the socket's file away
    const std::string& path() const { return path_; }  // "": it listens nowhere
    // What has come so far: before its sender is found to have ended.
    void receive_now() { on_readable(); }

  private:
    void on_readable() noexcept;

    Owner& owner_;
    std::string path_;
    UniqueFd socket_;
    ReadWatcher<&RelayNews::on_readable> readable_;
};

}  // namespace proxyd
